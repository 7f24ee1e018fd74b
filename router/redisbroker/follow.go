package redisbroker

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// follow is a channel whose events come to this node.
type follow struct {
	// Immutable.
	key  string // router.LogKey
	name string // the pub/sub channel
	rule router.Rule
	last bool // it has a last event: a cache channel

	crowd bool // it has a list of members

	// order is held by whoever hands out events of the channel: the lane's reader while the
	// channel is live, a catch-up otherwise.
	order sync.Mutex

	// Guarded by Broker.mu.
	lane     *lane
	state    state
	occupied bool      // this node has subscribers
	touched  time.Time // when Head or Load last asked, while it has none
	known    bool      // at was read at least once
	at       router.Position
	cached   lastEvent
	people   *people    // nil until it was read
	stamp    uint64     // changes of people
	handed   uint64     // the last one that was handed out
	unsure   time.Time  // until when those are kept in people whom Redis forgot
	pending  []*message // came while it was not live, in order
	over     bool       // more came than pending holds
	waiters  []chan struct{}
}

// state is how far a follow is.
type state uint8

const (
	stateWanted  state = iota // the lane has to subscribe
	stateReading              // it is subscribed; what came before is being read
	stateLive                 // events are handed out as they come
)

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
func (b *Broker) getLocked(key string) *follow {
	name := b.keys.of(key)
	f := b.follows[name]
	if f == nil {
		f = &follow{key: key, name: name, rule: b.receiver.RuleOf(key), last: isCache(key), crowd: hasPeople(key), touched: time.Now()}
		b.follows[name] = f
		b.homeLocked(f)
	}
	return f
}

// homeLocked gives a follow to the lane of its server.
func (b *Broker) homeLocked(f *follow) {
	f.state = stateWanted
	if f.lane = b.laneOfLocked(f.name); f.lane != nil {
		f.lane.wantLocked(f)
	}
}

// Follow implements router.Broker.
func (b *Broker) Follow(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.getLocked(key).occupied = true
}

// Unfollow implements router.Broker.
func (b *Broker) Unfollow(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.follows[b.keys.of(key)]; f != nil {
		f.occupied, f.touched = false, time.Now()
	}
}

// Head implements router.LogHeads.
func (b *Broker) Head(key string) (at router.Position, resident bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[b.keys.of(key)]
	if f == nil || f.state != stateLive {
		return router.Position{}, false
	}
	f.touched = time.Now()
	return f.at, true
}

// Load implements router.LogHeads: it waits until the channel is followed.
func (b *Broker) Load(key string) (router.Position, error) {
	b.mu.Lock()
	f := b.getLocked(key)
	f.touched = time.Now()
	if f.state == stateLive {
		defer b.mu.Unlock()
		return f.at, nil
	}
	if f.lane == nil || !f.lane.up {
		b.mu.Unlock()
		return router.Position{}, unavailable(errAway)
	}
	ready := make(chan struct{})
	f.waiters = append(f.waiters, ready)
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	select {
	case <-ready:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.state != stateLive {
		return router.Position{}, unavailable(errAway)
	}
	return f.at, nil
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
	began, asked := time.Now(), false
	for {
		b.mu.Lock()
		f := b.getLocked(key)
		f.touched = time.Now()
		live := f.state == stateLive
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
			_ = b.recheck(l, []*follow{f}) // it is looked again
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
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[b.keys.of(key)]
	if f == nil || f.state != stateLive {
		return router.LogEvent{}, 0, false
	}
	left = time.Until(f.cached.ends)
	return f.cached.event, left, left > 0
}

// liveLocked ends a catch-up.
func (f *follow) liveLocked() {
	f.state = stateLive
	f.wakeLocked()
}

// wakeLocked ends all waiting, whatever came of it.
func (f *follow) wakeLocked() {
	for _, w := range f.waiters {
		close(w)
	}
	f.waiters = nil
}

// sweep gives up the follows that nobody needs, and reads those lists again that Redis had
// forgotten.
func (b *Broker) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, f := range b.follows {
		if !f.unsure.IsZero() && now.After(f.unsure) && f.state == stateLive && f.lane != nil {
			f.lane.readLocked(f)
		}
		if f.occupied || f.state == stateReading || len(f.waiters) > 0 || now.Sub(f.touched) < linger {
			continue
		}
		delete(b.follows, name)
		if f.lane != nil {
			f.lane.leaveLocked(f)
		}
	}
}
