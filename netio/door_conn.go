package netio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
)

// doorPhase says what a conversation waits for, and so how long. While its task
// runs or is queued it is on the door's busy list, under no deadline.
type doorPhase uint8

const (
	// doorReading: the rest of a head, or its first byte on a socket that is new.
	doorReading doorPhase = iota
	// doorIdle: the first byte of another request.
	doorIdle
	// doorBody: the rest of a body.
	doorBody
	// doorLinger: the peer's FIN; our last answer and our FIN are out.
	doorLinger
	// doorEnded: the door has decided to close it. No further phase but the last.
	doorEnded
	// doorReleased: netpoll is about to close the descriptor. Counted until it has.
	doorReleased
)

// doorConn is one conversation, and the net.Conn that Serve sees.
//
// netpoll runs at most one task of a connection at a time, from the call of
// schedule to the end of onRequest; "the task" below is that stretch. No task
// ends before the descriptor may be used for the last time, since netpoll closes
// it only when no task is left.
type doorConn struct {
	// Immutable after prepare.
	door          *door
	conn          doorTransport
	fd            int
	local, remote net.Addr

	// Owned by the task.
	in       []byte    // what was read and not served yet; room's, nil when idle
	room     *doorRoom // from doorRooms; nil when idle
	head     doorHead  // of the request that in begins with
	unread   []byte    // of the request that Serve reads
	asked    bool      // Serve wants another request
	served   bool      // a request was served
	fresh    bool      // a request was served since the last wait
	parked   bool      // under a deadline, or was when the task began
	ending   bool      // no further request is served
	linger   bool      // our FIN is out, input is discarded
	blocked  int64     // monotonic ns since when the answer has waited for the client; 0 = does not
	writeErr error     // of the first write that failed
	// goesOn is where this task leaves for the end of its goroutine, when the next task
	// of the conversation may have begun already, that the socket is to be handed over.
	goesOn **doorHanding
	hands  *doorHanding // what it left there

	// Atomic; any goroutine.
	released atomic.Bool // netpoll's close callbacks run or have run
	handing  atomic.Bool // the descriptor goes to Upgrade, which counts it out
	settled  atomic.Bool // counted out

	// Guarded by door.mu.
	phase      doorPhase
	deadline   int64 // monotonic ns
	list       *doorList
	prev, next *doorConn
}

// doorTransport is a connection of netpoll's; the last two methods of its type
// are in no interface of the library.
type doorTransport interface {
	netpoll.Connection
	Fd() int
	Detach() error
}

// doorHanding is a socket that is to be handed over.
type doorHanding struct {
	upgrade []byte // the head of an upgrade request
	early   bool   // the client sent bytes behind it
}

// doorKey finds the conversation in netpoll's context.
type doorKey struct{}

// doorRoom is the memory of a request under way.
type doorRoom struct {
	in   []byte     // empty
	head frame.Head // scratch of collect
}

// doorRooms holds rooms for requests under way; large ones are not kept.
var doorRooms = sync.Pool{New: func() any { return &doorRoom{in: make([]byte, 0, pollerBuffer)} }}

const doorRoomKept = 64 << 10 // bytes

// prepare is called for a new connection before netpoll registers it.
func (d *door) prepare(connection netpoll.Connection) context.Context {
	conn := connection.(doorTransport)
	c := &doorConn{door: d, conn: conn, fd: conn.Fd(), local: conn.LocalAddr(), remote: conn.RemoteAddr(), parked: true}
	_ = conn.AddCloseCallback(c.onRelease)
	d.await(c, doorReading, true)
	return context.WithValue(context.Background(), doorKey{}, c)
}

// onRelease is netpoll's close callback. The descriptor is out of netpoll's epoll
// set, and open still; the caller closes it next unless it was detached.
func (c *doorConn) onRelease(netpoll.Connection) error {
	d := c.door
	d.mu.Lock()
	c.unlink()
	c.phase = doorReleased
	if !c.handing.Load() {
		// Whoever closed it counts it out; tick does where that was netpoll.
		c.deadline = d.cfg.Now()
		d.waits.add(c)
	} else if c.conn.Reader().Len() > 0 {
		c.hands.early = true
	}
	d.mu.Unlock()
	c.released.Store(true)
	return nil
}

// doorDisconnected is called when the peer has closed or reset. Closing from here
// lets us see the descriptor closed when no task holds it.
func doorDisconnected(ctx context.Context, conn netpoll.Connection) {
	_ = conn.Close()
	if c, ok := ctx.Value(doorKey{}).(*doorConn); ok {
		c.settle()
	}
}

// settle counts a conversation out whose descriptor netpoll has closed.
func (c *doorConn) settle() {
	if !c.released.Load() || c.handing.Load() || !c.settled.CompareAndSwap(false, true) {
		return
	}
	c.door.mu.Lock()
	c.unlink()
	c.door.mu.Unlock()
	c.door.leave(1)
}

// abortLocked resets a conversation that is on the busy list: new input makes the
// kernel answer with RST, and netpoll lets go of the socket without waiting for
// the task. door.mu is held, so the descriptor cannot be closed at the same time.
func (c *doorConn) abortLocked() {
	if c.phase < doorEnded {
		c.phase = doorEnded
	}
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

// schedule takes a task from netpoll: there is input. Called on the poller's
// goroutine when no other task of this conversation runs.
func (c *doorConn) schedule(task func()) {
	if c.parked && c.door.begin(c) {
		c.parked = false
	}
	c.door.pool.start(doorTask{c, task})
}

// run executes a task of netpoll's, which calls onRequest and, when that has
// closed or detached the connection, lets go of the descriptor. goesOn is nil at first,
// and only the task writes it.
func (c *doorConn) run(task func(), goesOn **doorHanding) {
	defer c.recovered()
	c.goesOn = goesOn
	task()
	// From here on another task may run. Only goesOn is still ours.
	if *goesOn != nil {
		c.handOver(**goesOn)
		return
	}
	c.settle()
}

func (c *doorConn) recovered() {
	if what := recover(); what != nil {
		c.door.panicked(what)
		_ = c.conn.Close()
		c.settle()
	}
}

// doorRequest is netpoll's request callback: there is input to consume.
func doorRequest(ctx context.Context, _ netpoll.Connection) error {
	if c, ok := ctx.Value(doorKey{}).(*doorConn); ok {
		c.onRequest()
	}
	return nil
}

// onRequest serves all complete requests and collects the bytes of one that is
// not. When it returns, netpoll's buffer is empty or the connection is closed:
// with bytes left, netpoll would call it again without a pause.
func (c *doorConn) onRequest() {
	defer func() {
		if what := recover(); what != nil {
			c.door.panicked(what)
			c.close()
		}
	}()
	if c.parked && !c.door.begin(c) {
		c.ending = true
	}
	c.parked = false
	for !c.ending {
		wanted, phase := c.collect()
		switch {
		case c.ending:
		case wanted == 0:
			c.serve()
		case c.pull(wanted) == 0:
			c.wait(phase)
			return
		}
	}
	c.wind()
}

// collect looks at what was read. It returns how many bytes to read next and what
// the conversation waits for if there are none; 0 for a complete request. Requests
// that the door answers itself end the conversation.
func (c *doorConn) collect() (wanted int, phase doorPhase) {
	if c.head.bytes == 0 {
		lim := c.door.cfg.Limits()
		complete, refusal := c.lookAtHead(lim)
		switch {
		case refusal != nil:
			c.refuse(refusal)
			return 0, doorEnded
		case complete:
		case len(c.in) == 0 && c.served:
			return lim.Head.Max() + 1, doorIdle
		default:
			return lim.Head.Max() + 1 - len(c.in), doorReading
		}
	}
	if c.head.upgrade {
		c.detach()
		return 0, doorEnded
	}
	return max(0, c.head.total-len(c.in)), doorBody
}

// lookAtHead parses what has come of a head.
func (c *doorConn) lookAtHead(lim doorLimits) (complete bool, refusal *doorRefusal) {
	if c.room == nil {
		return false, nil // nothing was read
	}
	complete, refusal = c.head.parse(c.in, lim, c.door.cfg.Streams, &c.room.head)
	c.room.head = frame.Head{} // it borrows a buffer that may be replaced
	return complete, refusal
}

// pull moves up to wanted bytes from netpoll's buffer to ours.
func (c *doorConn) pull(wanted int) int {
	r := c.conn.Reader()
	n := min(wanted, r.Len())
	if n == 0 {
		return 0
	}
	p, err := r.Next(n)
	if err != nil {
		return 0
	}
	if c.room == nil {
		c.room = doorRooms.Get().(*doorRoom)
		c.in = c.room.in
	}
	c.in = append(c.in, p...)
	_ = r.Release()
	return n
}

// wait ends a task: the rest is the client's turn.
func (c *doorConn) wait(phase doorPhase) {
	if phase == doorIdle {
		c.dropBuffer()
	}
	if phase == doorBody && c.head.waits {
		c.head.waits = false
		_, _ = c.send([]byte(doorContinue))
	}
	again := c.fresh
	c.fresh = false
	c.parked = true
	if !c.door.await(c, phase, again) {
		c.close()
	}
}

// serve has one request answered.
func (c *doorConn) serve() {
	request := c.in[:c.head.total]
	if c.head.expect {
		head := doorDropField(c.in[:c.head.bytes], "Expect")
		request = request[c.head.bytes-len(head):]
	}
	c.unread, c.asked, c.served, c.fresh = request, false, true, true
	err := c.door.cfg.Serve(c)
	c.unread = nil
	oversized := c.head.oversized
	c.in = c.in[:copy(c.in, c.in[c.head.total:])]
	c.head, c.blocked = doorHead{}, 0
	if err != nil || c.writeErr != nil {
		c.door.cfg.Log.Debug("plain HTTP conversation ended", "remote", c.remote, "err", errors.Join(err, c.writeErr))
	}
	switch {
	case c.writeErr != nil:
		c.close()
	case err != nil, oversized:
		c.farewell() // perhaps with an answer, and perhaps with more input on its way
	case !c.asked || c.door.closing.Load():
		c.finish()
	case c.door.pool.crowded():
		c.door.pool.release() // others first, before this client's next request
		c.door.pool.acquire()
	}
}

// finish ends a conversation after an answer that was its last.
func (c *doorConn) finish() {
	if len(c.in) > 0 || c.conn.Reader().Len() > 0 {
		c.farewell() // a close with unread input would be a reset
		return
	}
	c.close()
}

// refuse answers in Serve's place.
func (c *doorConn) refuse(r *doorRefusal) {
	_, _ = c.send(r.encode())
	c.farewell()
}

// farewell sends our FIN behind the last answer and discards what still comes, so
// that the client gets to read that answer.
func (c *doorConn) farewell() {
	c.ending, c.linger = true, true
	_ = unix.Shutdown(c.fd, unix.SHUT_WR)
}

// wind is the end of a task of a conversation that serves no more requests.
func (c *doorConn) wind() {
	if c.handing.Load() {
		return
	}
	c.dropBuffer()
	if r := c.conn.Reader(); r.Len() > 0 {
		_ = r.Skip(r.Len())
		_ = r.Release()
	}
	if c.linger {
		c.parked = true
		if !c.door.await(c, doorLinger, false) {
			c.close()
		}
		return
	}
	c.close()
}

func (c *doorConn) close() {
	c.ending = true
	_ = c.conn.Close()
}

func (c *doorConn) dropBuffer() {
	if c.room != nil && cap(c.in) <= doorRoomKept {
		c.room.in = c.in[:0]
		doorRooms.Put(c.room)
	}
	c.in, c.room = nil, nil
}

// detach ends netpoll's part for an upgrade request. netpoll lets go of the
// descriptor after onRequest has returned; only run, after that, hands it over.
func (c *doorConn) detach() {
	if len(c.in) > c.head.bytes || c.conn.Reader().Len() > 0 {
		c.refuse(doorEarlyBytes)
		return
	}
	c.hands = &doorHanding{upgrade: bytes.Clone(c.in)}
	*c.goesOn = c.hands
	c.dropBuffer()
	c.ending = true
	c.handing.Store(true)
	_ = c.conn.Detach()
}

// handOver gives the socket to Upgrade. Nothing of netpoll's touches it any more:
// its poller was waited for. Bytes that the client sent meanwhile are early, and
// some of them may be lost in netpoll's buffer, so the stream cannot be trusted.
func (c *doorConn) handOver(h doorHanding) {
	defer c.door.leave(1)
	var next [1]byte
	n, _, _ := unix.Recvfrom(c.fd, next[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if h.early || n > 0 {
		_, _ = c.send(doorEarlyBytes.encode())
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		_ = unix.Close(c.fd)
		return
	}
	c.door.cfg.Upgrade(c.fd, h.upgrade, c.local, c.remote)
}

// Read hands out the request under way and nothing of the next.
func (c *doorConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.unread) == 0 {
		c.asked = true
		return 0, io.EOF
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// Write writes straight to the socket; netpoll takes a half-closed peer for gone,
// and it still reads. Only what the kernel does not take goes through netpoll,
// which waits, and meanwhile another conversation has this one's place.
func (c *doorConn) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	n, err := c.send(p)
	if err == nil && n < len(p) {
		var more int
		more, err = c.sendSlowly(p[n:])
		n += more
	}
	c.writeErr = err
	return n, err
}

// send writes what the kernel takes now.
func (c *doorConn) send(p []byte) (int, error) {
	for done := 0; ; {
		n, err := syscall.Write(c.fd, p[done:])
		switch {
		case err == nil:
			if done += n; done == len(p) {
				return done, nil
			}
		case err == syscall.EAGAIN:
			return done, nil
		case err != syscall.EINTR:
			return done, os.NewSyscallError("write", err)
		}
	}
}

// sendSlowly waits for a client that does not read, one WriteTimeout an answer.
func (c *doorConn) sendSlowly(p []byte) (int, error) {
	now := c.door.cfg.Now()
	if c.blocked == 0 {
		c.blocked = now
	}
	left := c.door.cfg.WriteTimeout - time.Duration(now-c.blocked)
	if left <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	_ = c.conn.SetWriteTimeout(left)
	c.door.pool.release()
	defer c.door.pool.acquire()
	n, err := c.conn.Write(p)
	return n, doorError(err)
}

// doorError translates netpoll's errors.
func doorError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, netpoll.ErrReadTimeout), errors.Is(err, netpoll.ErrWriteTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, netpoll.ErrConnClosed), errors.Is(err, netpoll.ErrEOF):
		return io.EOF
	}
	return err
}

// Close does nothing: the door closes, and only when the conversation is over.
func (c *doorConn) Close() error         { return nil }
func (c *doorConn) LocalAddr() net.Addr  { return c.local }
func (c *doorConn) RemoteAddr() net.Addr { return c.remote }

// The deadlines are the door's own. Read never waits, and Write has WriteTimeout.

func (c *doorConn) SetDeadline(time.Time) error      { return nil }
func (c *doorConn) SetReadDeadline(time.Time) error  { return nil }
func (c *doorConn) SetWriteDeadline(time.Time) error { return nil }
