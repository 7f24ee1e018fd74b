package redisbroker

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// lane is one connection on which events come: to the only master, or to one of a
// Cluster's. It dials anew for as long as the broker lives, and asks for all of its
// channels again each time.
type lane struct {
	// Immutable.
	b      *Broker
	host   string
	canary string        // the pub/sub channel on which it hears itself
	wake   chan struct{} // something is wanted, or leaves

	readWake chan struct{} // something is to be read
	gone     chan struct{} // closed when the lane's server is no master any more

	// Guarded by Broker.mu.
	via     rueidis.Client // to the server; in a Cluster a new one with each connection
	up      bool           // the connection stands
	turn    int            // how many connections there were; what an earlier one still says does not count
	heard   time.Time      // of the canary
	wanted  []*follow      // to be subscribed to
	leaving []string       // to be unsubscribed from
	read    []*follow      // subscribed to, to be caught up with
	ended   bool
	replid  string // of the server; "" = not seen yet
	late    bool   // the lane came after the broker had begun
}

const (
	// subscribeMost bounds one SUBSCRIBE, and one round of questions for heads.
	subscribeMost = 512
	// canaryEvery is how often a lane says something to itself, and canarySilence after
	// which time without it the connection is given up.
	canaryEvery   = time.Second
	canarySilence = 3 * time.Second
	// redialLeast and redialMost bound the time between two connections; it doubles, and a
	// random half of it keeps the nodes of a cluster from coming at once.
	redialLeast = 50 * time.Millisecond
	redialMost  = 2 * time.Second
)

// addLaneLocked begins a lane and gives it the channels that are its.
func (b *Broker) addLaneLocked(host string, client rueidis.Client) {
	name := b.keys.prefix + "canary:" + strconv.FormatUint(b.node, 16)
	if host != "" {
		name += ":" + escape(host)
	}
	l := &lane{b: b, host: host, via: client, canary: name, wake: make(chan struct{}, 1), readWake: make(chan struct{}, 1), gone: make(chan struct{}), late: len(b.follows) > 0}
	b.lanes[host] = l
	for _, f := range b.follows {
		if f.lane == nil {
			b.homeLocked(f)
		}
	}
	b.run(l.live)
	b.run(l.readers)
}

// dropLaneLocked ends a lane; its channels look for another.
func (b *Broker) dropLaneLocked(l *lane) {
	delete(b.lanes, l.host)
	l.ended = true
	close(l.gone)
	for _, f := range b.follows {
		if f.lane == l {
			b.homeLocked(f)
		}
	}
}

// laneOfLocked is the lane of a pub/sub channel; nil while its server is not known.
func (b *Broker) laneOfLocked(name string) *lane {
	if b.address.Topology != redisurl.Cluster {
		return b.lanes[""]
	}
	if len(b.slots) == 0 {
		return nil
	}
	return b.lanes[b.slots[slotOf(name)]]
}

func (l *lane) wantLocked(f *follow) {
	l.wanted = append(l.wanted, f)
	l.rouse()
}

// readLocked has a channel caught up with again; first is what came and shows that.
func (l *lane) readLocked(f *follow, first ...*message) {
	f.state, f.pending = stateReading, append(f.pending[:0], first...)
	l.read = append(l.read, f)
	l.rouseReaders()
}

func (l *lane) leaveLocked(f *follow) {
	if f.state == stateWanted {
		return // it is passed over when its turn comes
	}
	l.leaving = append(l.leaving, f.name)
	l.rouse()
}

func (l *lane) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// live keeps a connection.
func (l *lane) live() {
	pause := redialLeast
	for {
		began := time.Now()
		err := l.connection()
		if l.over() {
			return
		}
		l.b.stats.lost.Add(1)
		if time.Since(began) > redialMost {
			pause = redialLeast
		}
		l.b.logger.Warn("the connection to Redis is lost: events of other nodes do not come, publishes are answered 503 until it stands again",
			"redis", l.host, "err", err, "again_in_ms", pause.Milliseconds())
		select {
		case <-l.b.ctx.Done():
			return
		case <-l.gone:
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, redialMost)
	}
}

func (l *lane) over() bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.ended || l.b.closed
}

// connection is one of them, from its dialling to its end.
func (l *lane) connection() error {
	l.b.mu.Lock()
	if client := l.b.every()[l.host]; client != nil {
		l.via = client
	}
	l.turn++
	turn, client := l.turn, l.via
	l.b.mu.Unlock()
	conn, release := client.Dedicate()
	defer release()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) { l.message(turn, m) },
		OnSubscription: func(s rueidis.PubSubSubscription) {
			l.subscribed(turn, s)
		},
	})
	defer l.down()
	ctx, cancel := context.WithTimeout(l.b.ctx, l.b.conf.PublishTimeout)
	defer cancel()
	if err := conn.Do(ctx, conn.B().Subscribe().Channel(l.canary, l.b.askChannel(), l.b.answerChannel()).Build()).Error(); err != nil {
		return err
	}
	l.begin()
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-lost:
			return err
		case <-l.b.ctx.Done():
			return l.b.ctx.Err()
		case <-l.gone:
			return errAway
		case <-l.wake:
			if err := l.order(conn); err != nil {
				return err
			}
		case now := <-tick.C:
			if err := l.listen(now); err != nil {
				return err
			}
		}
	}
}

// begin asks for every channel of the lane.
func (l *lane) begin() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.heard = time.Now()
	l.wanted, l.leaving, l.read = l.wanted[:0], nil, nil
	for _, f := range l.b.follows {
		if f.lane == l {
			f.state = stateWanted
			l.wanted = append(l.wanted, f)
		}
	}
	l.rouse()
}

// down: nothing comes any more, and who waits waits in vain.
func (l *lane) down() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.up = false
	for _, f := range l.b.follows {
		if f.lane == l {
			f.state = stateWanted
			f.wakeLocked()
		}
	}
}

// listen says the canary's word and gives the connection up that does not bring it.
func (l *lane) listen(now time.Time) error {
	l.b.mu.Lock()
	heard := l.heard
	l.b.mu.Unlock()
	if now.Sub(heard) > canarySilence {
		l.b.stats.silent.Add(1)
		return errSilent
	}
	ctx, cancel := context.WithTimeout(l.b.ctx, canaryEvery)
	l.b.run(func() {
		defer cancel()
		// Who does not hear it gives the connection up, so what became of it does not matter.
		client := l.client()
		_ = client.Do(ctx, client.B().Publish().Channel(l.canary).Message("").Build()).Error()
		if text, err := client.Do(ctx, client.B().Info().Section("replication").Build()).ToString(); err == nil {
			l.sees(infoField(text, "master_replid"))
		}
	})
	return nil
}

// order has the server add and end subscriptions.
func (l *lane) order(conn rueidis.DedicatedClient) error {
	for {
		l.b.mu.Lock()
		leaving := l.leaving[:min(len(l.leaving), subscribeMost)]
		l.leaving = l.leaving[len(leaving):]
		var names []string
		for len(leaving) == 0 && len(l.wanted) > 0 && len(names) < subscribeMost {
			f := l.wanted[0]
			l.wanted = l.wanted[1:]
			if f.lane == l && f.state == stateWanted && l.b.follows[f.name] == f {
				names = append(names, f.name)
			}
		}
		l.b.mu.Unlock()
		switch {
		case len(leaving) > 0:
			if err := l.unsubscribe(conn, leaving...); err != nil {
				return err
			}
		case len(names) > 0:
			if err := l.subscribe(conn, names...); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// client is how the server is asked.
func (l *lane) client() rueidis.Client {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.via
}

func (l *lane) sharded() bool { return l.b.address.Topology == redisurl.Cluster }

func (l *lane) subscribe(conn rueidis.DedicatedClient, names ...string) error {
	if !l.sharded() {
		return conn.Do(l.b.ctx, conn.B().Subscribe().Channel(names...).Build()).Error()
	}
	return l.bySlot(conn, names, func(some []string) rueidis.Completed {
		return conn.B().Ssubscribe().Channel(some...).Build()
	})
}

func (l *lane) unsubscribe(conn rueidis.DedicatedClient, names ...string) error {
	if !l.sharded() {
		return conn.Do(l.b.ctx, conn.B().Unsubscribe().Channel(names...).Build()).Error()
	}
	return l.bySlot(conn, names, func(some []string) rueidis.Completed {
		return conn.B().Sunsubscribe().Channel(some...).Build()
	})
}

// bySlot divides names: one command of a Cluster names channels of one slot only. Channels
// of a slot that the server no longer has look for their new lane; the others go on.
func (l *lane) bySlot(conn rueidis.DedicatedClient, names []string, command func([]string) rueidis.Completed) error {
	groups := map[uint16][]string{}
	for _, name := range names {
		slot := slotOf(name)
		groups[slot] = append(groups[slot], name)
	}
	var order [][]string
	var commands []rueidis.Completed
	for _, some := range groups {
		order = append(order, some)
		commands = append(commands, command(some))
	}
	for i, r := range conn.DoMulti(l.b.ctx, commands...) {
		err := r.Error()
		if _, refused := rueidis.IsRedisErr(err); refused {
			l.b.unhome(l, order[i])
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unhome takes channels from a lane whose server refused them.
func (b *Broker) unhome(l *lane, names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if f := b.follows[name]; f != nil && f.lane == l {
			f.lane, f.state = nil, stateWanted
		}
	}
	b.movedLocked()
}

func (b *Broker) movedLocked() {
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// sees is told the server's replication id. Another one than before is another server, or
// the same after a restart: it may have lost what it was told.
func (l *lane) sees(id string) {
	l.b.mu.Lock()
	changed := id != "" && id != l.replid && (l.replid != "" || l.late)
	if id != "" {
		l.replid, l.late = id, false
	}
	l.b.mu.Unlock()
	if changed {
		l.b.changed()
		l.b.compare()
	}
}

// subscribed is told by the server, in the order of its answers.
func (l *lane) subscribed(turn int, s rueidis.PubSubSubscription) {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if turn != l.turn {
		return
	}
	if s.Channel == l.b.answerChannel() { // the last that begin asks for
		l.up = true
		return
	}
	f := b.follows[s.Channel]
	if f == nil || f.lane != l {
		return
	}
	switch s.Kind {
	case "subscribe", "ssubscribe":
		if f.state == stateWanted {
			l.readLocked(f)
		}
	case "sunsubscribe":
		// The slot has moved to another server.
		f.lane, f.state = nil, stateWanted
		b.movedLocked()
	}
}
