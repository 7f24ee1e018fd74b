package redisbroker

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// follow is a channel whose events come to this node. A node has a million of them.
type follow struct {
	// Immutable.
	key   string     // router.LogKey
	name  string     // the pub/sub channel
	last  *lastEvent // nil = it is no cache channel; guarded by Broker.mu
	crowd *crowd     // nil = it has no list of members; guarded by Broker.mu

	// order is held by whoever hands out events of the channel: the lane's reader while the
	// channel is live, a catch-up otherwise.
	order sync.Mutex

	// Guarded by Broker.mu.
	lane    *lane // nil = its server is not known
	at      router.Position
	pending []*message    // came while it was not live, in order
	waiters *waiters      // nil = nobody waits until it is live
	touched time.Duration // when Head or Load last asked, while it has none; since Broker.began

	turn uint32 // of the lane, when state was set (stateLocked)
	slot uint16 // Immutable; its slot of a Cluster
	// Guarded by Broker.mu as well.
	state    state
	occupied bool // this node has subscribers
	numbered bool // its events have numbers
	known    bool // at was read at least once
	unread   bool // no head was asked for since it was last subscribed to, or since its rule changed
	over     bool // more came than pending holds
	watched  bool // it is in Broker.watched
}

// state is how far a follow is.
type state uint8

const (
	stateWanted  state = iota // the lane has to subscribe
	stateAsked                // the server was asked
	stateReading              // it is subscribed; what came before is being read
	stateLive                 // events are handed out as they come
)

// stateLocked is how far a follow is on the connection that its lane has now. A state of
// any other connection, or lane, is of the past, and the lane has to subscribe.
func (f *follow) stateLocked() state {
	if f.lane == nil || f.turn != f.lane.turn {
		return stateWanted
	}
	return f.state
}

// becomeLocked sets the state. f has a lane.
func (f *follow) becomeLocked(s state) { f.state, f.turn = s, f.lane.turn }

// waiters are those who wait for one follow.
type waiters struct {
	ready chan struct{} // closed when it is live
	n     int
}

// lastEvent is a cache channel's last event.
type lastEvent struct {
	event router.LogEvent
	ends  time.Time
}

const (
	// linger is how long a channel is followed that nobody subscribes to any more: who
	// asks for its head comes soon, and a page that is loaded anew leaves and returns.
	linger = 10 * time.Second
	// pendingMost bounds what waits for a catch-up; what comes beyond is read from the
	// stream.
	pendingMost = 1024
)

// getLocked is the follow of a channel, begun if there is none.
func (b *Broker) getLocked(key, name string) *follow {
	f := b.follows[name]
	if f == nil {
		f = &follow{key: key, name: name, slot: b.slotOf(name), numbered: b.receiver.RuleOf(key).Events > 0, touched: time.Since(b.began)}
		if isCache(key) {
			f.last = &lastEvent{}
		}
		if hasPeople(key) {
			f.crowd = &crowd{}
		}
		b.follows[name] = f
		b.homeLocked(f)
		b.watchLocked(f)
	}
	return f
}

// Follow implements router.Broker.
func (b *Broker) Follow(key string) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.getLocked(key, name).occupied = true
}

// Unfollow implements router.Broker.
func (b *Broker) Unfollow(key string) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.follows[name]; f != nil {
		f.occupied, f.touched = false, time.Since(b.began)
		b.watchLocked(f)
	}
}

// Head implements router.LogHeads.
func (b *Broker) Head(key string) (at router.Position, resident bool) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[name]
	if f == nil || f.stateLocked() != stateLive {
		return router.Position{}, false
	}
	f.touched = time.Since(b.began)
	return f.at, true
}

// Load implements router.LogHeads: it waits until the channel is followed.
func (b *Broker) Load(key string) (router.Position, error) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.getLocked(key, name)
	f.touched = time.Since(b.began)
	if f.stateLocked() == stateLive {
		return f.at, nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	for f.stateLocked() != stateLive {
		if ctx.Err() != nil || f.lane == nil || !f.lane.up {
			return router.Position{}, unavailable(errAway)
		}
		b.waitLocked(ctx, f)
	}
	return f.at, nil
}

// waitLocked waits, without mu, until a follow is live, or its lane's connection is lost.
// It has a lane, and goes before those that nobody waits for.
func (b *Broker) waitLocked(ctx context.Context, f *follow) {
	w := f.waiters
	if w == nil {
		w = &waiters{ready: make(chan struct{})}
		f.waiters = w
		f.lane.hurryLocked(f)
	}
	w.n++
	fell := f.lane.fell
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-fell:
	case <-ctx.Done():
	}
	b.mu.Lock()
	if w.n--; w.n == 0 && f.waiters == w {
		f.waiters = nil
	}
}

const (
	// reachLook is how often is looked whether this node has come to a head, and reachLate
	// after which time the feed is no longer believed to bring it.
	reachLook = 2 * time.Millisecond
	reachLate = 100 * time.Millisecond
)

// await waits until a channel is live and something holds of it. there is called under
// Broker.mu. When the feed does not bring it in time, the channel is looked at in Redis,
// once.
func (b *Broker) await(key string, there func(*follow) bool) error {
	began, asked, name := time.Now(), false, b.keys.of(key)
	for {
		b.mu.Lock()
		f := b.getLocked(key, name)
		f.touched = time.Since(b.began)
		live := f.stateLocked() == stateLive
		done, l := live && there(f), f.lane
		b.mu.Unlock()
		late := time.Since(began)
		switch {
		case done:
			return nil
		case l == nil || late > b.conf.PublishTimeout:
			return unavailable(errAway)
		case live && !asked && late > reachLate:
			asked = true
			_ = b.recheck(l, []*follow{f}, false) // it is looked again
		}
		select {
		case <-b.ctx.Done():
			return unavailable(errAway)
		case <-time.After(reachLook):
		}
	}
}

// Last implements router.LogHeads.
func (b *Broker) Last(key string) (e router.LogEvent, left time.Duration, ok bool) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[name]
	if f == nil || f.stateLocked() != stateLive || f.last == nil {
		return router.LogEvent{}, 0, false
	}
	left = time.Until(f.last.ends)
	return f.last.event, left, left > 0
}

// liveLocked ends a catch-up.
func (f *follow) liveLocked() {
	f.becomeLocked(stateLive)
	if f.waiters != nil {
		close(f.waiters.ready)
		f.waiters = nil
	}
}
