package redisbroker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"
)

// lane is one connection on which events come: to the only master, or to one of a
// Cluster's. It dials anew for as long as the broker lives, and asks for all of its
// channels again each time.
//
// What a follow's state is worth depends on the lane's turn alone (stateLocked):
//
//  1. No two connections of any lanes have the same turn, and between two connections a
//     lane has one that nobody else has. So with the end of a connection all states of its
//     follows end, however many they are, and no scan has to tell them.
//  2. A state is set on what the connection itself says (subscribed), or on what follows
//     from that. What an earlier connection still says does not count.
//  3. When a connection stands, askAgain asks for each follow that the lane had then; one
//     that it gets later is asked for when it gets it (homeLocked).
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
	turn    uint32         // of the connection
	fell    chan struct{}  // closed when it is lost
	heard   time.Time      // of the canary
	wanted  lineup         // to be subscribed to, if it is still wanted then
	leaving queue[string]  // to be unsubscribed from
	read    lineup         // subscribed to, to be caught up with
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

// wantLocked has a follow asked for. New ones are first: somebody has just come for them.
func (l *lane) wantLocked(f *follow) {
	l.wanted.push(f, !f.known || f.waiters != nil)
	l.rouse()
}

// hurryLocked puts a follow, wherever it stands in line, in front of those that nobody
// waits for.
func (l *lane) hurryLocked(f *follow) {
	switch f.stateLocked() {
	case stateWanted:
		l.wantLocked(f)
	case stateReading:
		l.readSoonLocked(f)
	}
}

// readLocked has a channel caught up with; first is what came and shows that it must be.
func (l *lane) readLocked(f *follow, first ...*message) {
	f.becomeLocked(stateReading)
	f.unread, f.over, f.pending = true, false, append(f.pending[:0], first...)
	l.read.push(f, len(first) > 0 || !f.known || f.waiters != nil)
	l.rouseReaders()
}

func (l *lane) readSoonLocked(f *follow) {
	l.read.push(f, true)
	l.rouseReaders()
}

// anewLocked has a channel that is subscribed to read from the beginning.
func (f *follow) anewLocked() {
	switch f.stateLocked() {
	case stateLive:
		f.lane.readLocked(f)
	case stateReading:
		f.unread = true
		f.lane.readSoonLocked(f)
	}
}

func (l *lane) leaveLocked(f *follow) {
	if f.stateLocked() == stateWanted {
		return // it is passed over when its turn comes
	}
	l.leaving.push(f.name)
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
	if l.ended {
		l.b.mu.Unlock()
		return errAway
	}
	if client := l.b.every()[l.host]; client != nil {
		l.via = client
	}
	l.turn = l.b.turnLocked()
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
	if !l.begin(turn) {
		return errAway
	}
	l.b.run(func() { l.askAgain(turn) })
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

// begin forgets what the connection before was to do. false: the lane has ended, or this
// connection.
func (l *lane) begin(turn uint32) bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.heard = time.Now()
	l.wanted, l.leaving, l.read = lineup{}, queue[string]{}, lineup{}
	return l.turn == turn
}

// askAgain asks for every channel of the lane, on one connection.
func (l *lane) askAgain(turn uint32) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	s := scan{b: l.b}
	for _, f := range l.b.follows {
		if l.turn != turn {
			return
		}
		if f.lane == l && f.stateLocked() == stateWanted {
			l.wantLocked(f)
		}
		s.nextLocked()
	}
}

// down: nothing comes any more, and who waits waits in vain.
func (l *lane) down() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.fallLocked()
}

func (l *lane) fallLocked() {
	l.up, l.turn = false, l.b.turnLocked()
	close(l.fell)
	l.fell = make(chan struct{})
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

// client is how the server is asked.
func (l *lane) client() rueidis.Client {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.via
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
func (l *lane) subscribed(turn uint32, s rueidis.PubSubSubscription) {
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
	switch state := f.stateLocked(); s.Kind {
	case "subscribe", "ssubscribe":
		// While it is only wanted, the answer is to one that was left before it came, and an
		// UNSUBSCRIBE is on its way.
		if state != stateWanted {
			l.readLocked(f)
		}
	case "sunsubscribe":
		// The slot has moved to another server; or this node has left the channel, and follows
		// it anew by now.
		if state != stateWanted {
			b.adriftLocked(f)
		}
	}
}
