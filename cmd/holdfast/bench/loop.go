package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

const (
	readBytes    = maxMessageBytes + 64<<10 // a whole message and what follows it; only pages that are used cost memory
	eventsAtOnce = 512
	opensAtOnce  = 64                    // between two looks at what has come
	idleWait     = 10 * time.Millisecond // the longest sleep: the board is looked at as often
	tellEvery    = 100 * time.Millisecond
)

// loop holds a share of the connections on one goroutine with one epoll set.
type loop struct {
	// Immutable after newLoop.
	p            *Params
	plan         plan
	slots        int // of a connection's subscriptions
	share        share
	board        *board
	slot         *slot
	script       []step
	run          runID
	clock        clock
	start        int64 // ns: origin of every ms
	epoll        int
	family       int
	sources      []unix.Sockaddr // none: the default route
	destinations []unix.Sockaddr
	sign         *auth.Credentials // nil: public channels
	rate         float64           // connects per second of this loop; 0 = no limit
	concurrency  int
	onOpened     func() // the first step is done

	// Owned by the goroutine of work.
	conns     *offheap.Table[conn]
	tracks    *offheap.Table[track] // slots a connection
	held      held
	handshake handshake
	in        []byte
	out, text []byte // scratch of one message to the server
	events    []unix.EpollEvent
	tally     *tally
	recent    Histogram // of a second, for the progress line
	envelope  envelope

	at        int // the step that is worked on; -1 before the first
	done      bool
	began     int64 // ns: of this wave
	opened    int   // connections begun in this wave
	underWay  int   // attempts that are neither subscribed nor failed
	waiting   int   // connections in stateWaiting
	connected int
	succeeded uint64
	failed    uint64
	swept     int   // the next connection that the sweep looks at
	sweptAt   int64 // ns: when it last did
	toldAt    int64
	recentAt  int64
	drainedAt int64
}

// ms is a time of the loop's own count.
func (l *loop) ms(now int64) uint32 { return uint32((now - l.start) / 1e6) }

func msOf(d time.Duration) uint32 { return uint32(d / time.Millisecond) }

// work is the loop. It returns when the board's scenario ends or stops.
func (l *loop) work() error {
	defer unix.Close(l.epoll)
	for {
		now := l.clock.now()
		if l.follow(now) {
			l.tell(now)
			return nil
		}
		busy := l.open(now)
		l.sweep(now)
		l.progress(now)
		if err := l.poll(now, busy); err != nil {
			return err
		}
	}
}

// current is the step that is worked on.
func (l *loop) current() step {
	if l.at < 0 {
		return step{kind: stepHold}
	}
	return l.script[l.at]
}

// follow takes up the board's step, and says when all is over.
func (l *loop) follow(now int64) (ended bool) {
	stopped := l.board.stopped()
	if at := int(l.board.head.step.Load()); !stopped && at != l.at {
		l.at, l.done = at, false
		l.begin(now)
	}
	s := l.current()
	if stopped || s.kind == stepEnd {
		l.settleAll(stopped)
		return true
	}
	if !l.done && l.finished(s, now) {
		l.done = true
		l.tell(now)
		if l.at == 0 && l.onOpened != nil {
			l.onOpened()
		}
		l.board.done[l.at].Add(1)
	}
	return false
}

// begin starts a step.
func (l *loop) begin(now int64) {
	switch s := l.current(); s.kind {
	case stepOpen:
		l.began, l.opened = now, 0
		l.tally.Waves[s.wave].Began = now
	case stepPublish:
		l.scatter(now)
	case stepCut:
		l.cut()
	}
}

// finished says whether this loop's part of a step is done; of steps that the
// leader ends by himself it does not matter.
func (l *loop) finished(s step, now int64) bool {
	switch s.kind {
	case stepOpen:
		return l.opened == l.share.len() && l.underWay == 0 && (l.p.Kind != Storm || l.waiting == 0)
	case stepDrain:
		if now-l.drainedAt < int64(tellEvery) {
			return false
		}
		l.drainedAt = now
		return l.drained()
	}
	return true
}

// poll waits for input and handles it; not at all when there is more to open.
func (l *loop) poll(now int64, busy bool) error {
	n, err := epollWait(l.epoll, l.events)
	if err != nil {
		return fmt.Errorf("bench: epoll_wait: %w", err)
	}
	if n == 0 && !busy {
		if err := sleepOn(l.epoll, l.pause(now)); err != nil {
			return fmt.Errorf("bench: ppoll: %w", err)
		}
		if n, err = epollWait(l.epoll, l.events); err != nil {
			return fmt.Errorf("bench: epoll_wait: %w", err)
		}
	}
	for i := range l.events[:n] {
		e := &l.events[i]
		c := l.conns.At(uint32(e.Fd))
		if e.Pad == int32(c.gen) && (c.state.underWay() || c.state.connected()) {
			l.ready(uint32(e.Fd), c, e.Events)
		}
	}
	return nil
}

// pause is how long nothing of the loop's own is due.
func (l *loop) pause(now int64) time.Duration {
	if l.current().kind == stepOpen && l.rate > 0 && l.opened < l.share.len() && l.underWay < l.concurrency {
		return min(max(time.Duration(l.dueAt(l.opened)-now), 0), idleWait)
	}
	return idleWait
}

// dueAt is when the n-th connection of a wave is due; without a rate, all at once.
func (l *loop) dueAt(n int) int64 {
	if l.rate == 0 {
		return l.began
	}
	return l.began + int64(float64(n)/l.rate*1e9)
}

// open begins the connections that are due; busy says that more are, and may begin.
func (l *loop) open(now int64) (busy bool) {
	if l.current().kind != stepOpen {
		return false
	}
	for range opensAtOnce {
		due := l.dueAt(l.opened)
		if l.opened == l.share.len() || l.underWay >= l.concurrency || due > now {
			return false
		}
		// Without a rate a connection is due when it is its turn, except in a storm,
		// where all want to be back since the cut.
		if l.rate == 0 && l.p.Kind != Storm {
			due = l.clock.now()
		}
		i := uint32(l.opened)
		l.opened++
		l.connect(i, l.conns.At(i), due)
	}
	return true
}

// progress publishes how far the loop is.
func (l *loop) progress(now int64) {
	if now-l.toldAt >= int64(tellEvery) {
		l.tell(now)
	}
}

func (l *loop) tell(now int64) {
	l.toldAt = now
	l.slot.connected.Store(uint64(l.connected))
	l.slot.succeeded.Store(l.succeeded)
	l.slot.failed.Store(l.failed)
	l.slot.received.Store(uint64(l.tally.Received + l.tally.Early))
	if now-l.recentAt >= int64(time.Second) {
		l.recentAt = now
		l.slot.p99.Store(uint64(l.recent.Quantile(0.99) / time.Microsecond))
		l.recent.reset()
	}
}
