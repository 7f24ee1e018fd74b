package netio

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
)

// errDoorClosed: the door takes no more sockets, because it is shutting down or
// because netpoll could not be started.
var errDoorClosed = errors.New("netio: the door for plain HTTP is closed")

const (
	// doorLingerTime is how long input is discarded after a last answer, so that
	// the client reads the answer rather than a reset (RFC 9112 section 9.6).
	doorLingerTime = 2 * time.Second
	// doorWatchEvery is how often the input of busy conversations is measured.
	doorWatchEvery = 50 * time.Millisecond
	// doorBacklog is how many bytes clients may send ahead of the requests that are
	// being worked on, in total. It is shared equally; everyone may have one
	// request of the largest size, whatever the share.
	doorBacklog = 64 << 20
)

// doorConfig: all fields are required.
type doorConfig struct {
	// Serve reads and answers one request of a conversation, and may block. It is
	// given exactly one complete request: the next Read says io.EOF, which means
	// "between requests" to fasthttp's ServeConn. A caller that read so far and
	// returns nil lets the conversation go on; its next request is another call
	// with the same net.Conn. The conn is not used after Serve has returned.
	Serve func(net.Conn) error
	// Conversations bounds how many conversations are worked on at a time. More
	// wait in order; none is refused. A conversation counts while a request of its
	// own is being served, not while its client is slow to send or to read.
	Conversations int
	BodyTimeout   time.Duration // head complete to body complete
	IdleTimeout   time.Duration // answer to the first byte of the next request
	WriteTimeout  time.Duration // one answer, from when the client stops reading
	// Limits returns the limits in force; any goroutine. It is asked for each head
	// anew, so that a conversation that is open follows a change.
	Limits func() doorLimits
	// Streams claims requests that Upgrade takes over like a WebSocket's; it borrows
	// the head. nil = none.
	Streams func(*frame.Head) bool
	// Upgrade takes over a socket whose later request asks for a WebSocket. netpoll
	// has let go of it, nothing was written, and the client sent nothing behind
	// head. Both belong to the callee, which may be on any goroutine.
	Upgrade func(fd int, head []byte, local, remote net.Addr)
	Log     *slog.Logger
	Now     func() int64 // monotonic ns
}

// doorLimits are the limits of one request.
type doorLimits struct {
	HeadTimeout time.Duration // a head, first byte to complete
	Head        frame.HeadLimits
	// Body is the longest request body, in bytes. A longer one is not read: Serve
	// gets the head alone, to refuse it, and the conversation ends.
	Body int64
}

// request is the size of the largest request. Unit: bytes.
func (l doorLimits) request() int { return l.Head.Max() + int(l.Body) }

// door is the way into netpoll: plain HTTP conversations, which live for seconds
// and whose handlers may block, unlike anything on a loop.
//
// netpoll reads whatever a client sends, at once and without bound, and runs one
// task a connection while there is input. A task collects a request until it is
// complete; only then is it given to Serve, from memory. So a client that is slow
// to send a head or a body costs its buffer but no goroutine and no place among
// the Conversations, and neither does one that is idle between requests.
//
// What the door refuses by itself, always with a close: a head that
// frame.Head.Parse does not accept (400, 431), any Transfer-Encoding (411; every
// Pusher backend library sends Content-Length), bytes between an upgrade request
// and its answer (400), and clients that send far ahead of the answers (reset).
// It answers Expect: 100-continue itself, since a body is collected before Serve
// runs.
//
// A panic in Serve ends that one conversation, with an error record and a count.
// It does not end the process, whose other sockets have nothing to do with it.
type door struct {
	// Immutable after newDoor.
	cfg      doorConfig
	listener *doorListener
	events   netpoll.EventLoop
	pool     *doorPool
	stopped  chan struct{} // closed when netpoll no longer serves listener
	empty    chan struct{} // closed when closing and the last conversation has gone

	// Atomic; any goroutine.
	count   atomic.Int64  // sockets between enter and their close or hand-over
	panics  atomic.Uint64 // conversations that ended by a panic
	closing atomic.Bool   // written under mu

	mu       sync.Mutex
	waits    doorDeadlines // conversations that wait for their client
	busy     doorList      // conversations whose task runs or is queued
	largest  int           // bytes of the largest request that was ever allowed: one may be under way
	watching bool          // watch is due
	timer    *time.Timer   // runs watch
	drained  bool          // empty is closed
}

// newDoor opens a door and starts netpoll beneath it.
func newDoor(cfg doorConfig) (*door, error) {
	if cfg.Serve == nil || cfg.Limits == nil || cfg.Upgrade == nil || cfg.Log == nil || cfg.Now == nil || cfg.Conversations < 1 {
		return nil, errors.New("netio: door: Serve, Limits, Upgrade, Log, Now and a positive Conversations are required")
	}
	if err := configurePoller(cfg.Log); err != nil {
		return nil, err
	}
	d := &door{
		cfg: cfg, pool: newDoorPool(cfg.Conversations),
		stopped: make(chan struct{}), empty: make(chan struct{}),
	}
	d.waits.reached = cfg.Now() / int64(time.Second)
	d.timer = time.AfterFunc(time.Hour, d.watch)
	d.timer.Stop()
	var err error
	if d.events, err = netpoll.NewEventLoop(doorRequest, netpoll.WithOnPrepare(d.prepare), netpoll.WithOnDisconnect(doorDisconnected)); err != nil {
		return nil, err
	}
	if d.listener, err = newDoorListener(d.leave); err != nil {
		return nil, err
	}
	go d.serve()
	return d, nil
}

func (d *door) serve() {
	if err := d.events.Serve(d.listener); err != nil {
		d.cfg.Log.Error("netpoll does not serve plain HTTP", "err", err)
	}
	_ = d.listener.Close()
	close(d.stopped)
}

// enter takes over a socket whose first request head is complete and unread. It
// owns fd at once, also when it returns an error. fd is non-blocking, in no epoll
// set, and has TCP_NODELAY. Any goroutine.
func (d *door) enter(fd int, local, remote net.Addr) error {
	// netpoll prints the peer's address in its errors, so there must be one.
	if local == nil {
		local = &net.UnixAddr{Net: "unix"}
	}
	if remote == nil {
		remote = &net.UnixAddr{Net: "unix"}
	}
	d.count.Add(1)
	if d.closing.Load() || !d.listener.push(&doorSocket{fd: fd, local: local, remote: remote}) {
		_ = unix.Close(fd)
		d.leave(1)
		return errDoorClosed
	}
	return nil
}

// conversations is how many sockets the door owns, whatever they do. Any goroutine.
func (d *door) conversations() int { return int(d.count.Load()) }

// tick closes the conversations whose client let a deadline pass, and lets workers go
// that have nothing to do. Once a second.
func (d *door) tick(now int64) {
	d.mu.Lock()
	expired := d.waits.expire(now)
	d.endLocked(expired)
	d.mu.Unlock()
	closeEach(expired)
	d.pool.trim()
}

// shutdown takes no new sockets, closes the conversations that are between two
// requests, lets the others answer the request under way and returns when none is
// left. What is left at the deadline is cut.
func (d *door) shutdown(deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	d.mu.Lock()
	d.closing.Store(true)
	idle := d.waits.collect(func(c *doorConn) bool { return c.phase == doorIdle || c.phase == doorLinger })
	d.endLocked(idle)
	d.mu.Unlock()
	closeEach(idle)
	d.noteEmpty()
	select {
	case <-d.empty:
	case <-ctx.Done():
		d.cut()
	}
	d.stop(ctx)
}

// stop ends netpoll's service of the listener. Its goroutine may not have begun
// yet, and then a first call says nothing.
func (d *door) stop(ctx context.Context) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		_ = d.events.Shutdown(ctx) // an error would be about conversations that were cut
		select {
		case <-d.stopped:
			d.timer.Stop()
			d.pool.close()
			return
		case <-again.C:
		}
	}
}

// cut ends everything, requests under way included.
func (d *door) cut() {
	d.mu.Lock()
	left := d.waits.collect(func(*doorConn) bool { return true })
	d.endLocked(left)
	for c := d.busy.first; c != nil; c = c.next {
		c.abortLocked()
		left = append(left, c)
	}
	d.mu.Unlock()
	closeEach(left)
}

// watch measures what clients have sent ahead of the answers, and resets those
// that are over their share: netpoll itself reads without bound.
func (d *door) watch() {
	d.mu.Lock()
	if d.busy.n == 0 {
		d.watching = false
		d.mu.Unlock()
		return
	}
	d.largest = max(d.largest, d.cfg.Limits().request())
	share := max(doorBacklog/d.busy.n, d.largest)
	var over []*doorConn
	for c := d.busy.first; c != nil; c = c.next {
		if c.conn.Reader().Len() > share {
			c.abortLocked()
			over = append(over, c)
		}
	}
	d.timer.Reset(doorWatchEvery)
	d.mu.Unlock()
	closeEach(over)
}

// endLocked marks conversations that are about to be closed. mu is held.
func (d *door) endLocked(cs []*doorConn) {
	for _, c := range cs {
		if c.phase < doorEnded {
			c.phase = doorEnded
		}
	}
}

// closeEach closes conversations; mu is not held.
func closeEach(cs []*doorConn) {
	for _, c := range cs {
		_ = c.conn.Close()
		c.settle()
	}
}

// begin takes a conversation off its deadline for as long as its task runs or is
// queued. It returns false when the door has decided to close it.
func (d *door) begin(c *doorConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.phase >= doorEnded {
		return false
	}
	c.unlink()
	d.busy.push(c)
	if !d.watching {
		d.watching = true
		d.timer.Reset(doorWatchEvery)
	}
	return true
}

// await puts a conversation back under a deadline. It keeps the one that it had
// when it is in the same phase still and again is not set. It returns false when
// the conversation has to be closed instead.
func (d *door) await(c *doorConn, phase doorPhase, again bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.phase >= doorEnded || (phase == doorIdle && d.closing.Load()) {
		return false
	}
	if again || c.phase != phase {
		c.phase = phase
		c.deadline = d.cfg.Now() + int64(d.timeout(phase))
	}
	c.unlink()
	d.waits.add(c)
	return true
}

func (d *door) timeout(phase doorPhase) time.Duration {
	switch phase {
	case doorIdle:
		return d.cfg.IdleTimeout
	case doorBody:
		return d.cfg.BodyTimeout
	case doorLinger:
		return doorLingerTime
	}
	return d.cfg.Limits().HeadTimeout
}

func (d *door) leave(n int) {
	d.count.Add(int64(-n))
	d.noteEmpty()
}

func (d *door) noteEmpty() {
	if !d.closing.Load() || d.count.Load() > 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.drained {
		d.drained = true
		close(d.empty)
	}
}

// panicked is the crash policy of conversations. Called with what recover returned.
func (d *door) panicked(what any) {
	d.panics.Add(1)
	d.cfg.Log.Error("a plain HTTP conversation ended by a panic", "err", what, "stack", string(debug.Stack()))
}
