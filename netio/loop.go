package netio

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

const (
	// scratchBytes is room for the largest head, and for one read.
	scratchBytes = 64 << 10
	// readBytes is one read, which is parsed where it is. A client that sends small
	// messages without a pause has some 150 of them in it.
	readBytes = 16 << 10
	// readSlice is when a socket that has more input has had its share of a turn; a read
	// that has begun is handled whole. readsPerWake bounds it by bytes: 256 KiB.
	readSlice    = 100 * time.Microsecond
	readsPerWake = 16
	// eventsPerWait is the size of one epoll_wait. In a mass return each event is a
	// handshake: commands, the others' events, wait behind few of them. Where more
	// events wait, they have eventSlice before pending walks go on.
	eventsPerWait = 2
	eventSlice    = 60 * time.Microsecond
	// giveWayEvery is how long a loop that does not sleep keeps its thread from others;
	// it looks between any two events. A kernel without a timer for it takes a thread off
	// its processor at its ticks alone, 4 ms apart at 250 Hz, however short those who wait
	// would need it.
	giveWayEvery = 30 * time.Microsecond
	// goschedEvery is the same for its processor of Go's scheduler. It is longer: to give
	// one up while another is idle wakes a thread that takes the loop over.
	goschedEvery = time.Millisecond
	// gatherFor is how long a loop that woke for commands collects more of them,
	// so that a burst of publishes becomes one walk.
	gatherFor = 200 * time.Microsecond
	// gatherShare: where the burst before was one of several, the next is waited for
	// longer than until it seems to be over, by this part of the work that it made.
	gatherShare = 32
	gatherMost  = 2 * time.Millisecond
	// workSlice is how long pending walks may run before sockets are polled again.
	workSlice = time.Millisecond
	// pauseJump is the gap between two turns from which on the process is held to
	// have been stopped (SIGSTOP, a suspended machine): heartbeats start anew.
	pauseJump = 5 * time.Second
)

// loop is one epoll set and the goroutine that alone touches its connections.
type loop struct {
	// Immutable after newLoop.
	id      int
	srv     *Server
	kernel  kernel
	epfd    int
	records *offheap.Table[record] // shared table; this loop owns the records that name it
	inbox   inbox

	// Owned by the loop's goroutine.
	owner    invariant.Owner
	session  Session
	parser   *frame.Parser
	wheel    *wheel.Wheel
	poll     syscall.RawConn // the epoll descriptor in Go's own poller: where an idle loop sleeps
	pollFile *os.File        // keeps it open
	events   []unix.EpollEvent
	ready    int                // events of the last wait
	waitFunc func(uintptr) bool // built once: a closure for poll.Read
	now      int64              // monotonic ns, read once a turn
	worked   int64              // when Work last returned
	busy     int64              // how long it was awake before it last slept, ns
	gathered int                // commands of the last gather
	gaveWay  int64              // when the thread was last given up
	gosched  int64              // when Go's processor was
	looked   int64              // at the clock, between events: where a socket's slice begins
	tick     wheel.Tick
	resumed  wheel.Tick // last time the process came back from a stop; 0 = never
	gens     uint32     // last generation given
	scratch  []byte
	cork     cork
	sink     sink
	pongBuf  []byte
	deflater *frame.Deflater // of the echo path; made on first use
	iov      []syscall.Iovec
	partials partialTable
	large    largeTurns
	queues   queueTable
	again    []uint32 // sockets with unread input beyond their share
	spare    []uint32 // the other half of again, while one is walked
	ending   []ending // connections whose handler must be told, or that must be closed
	shaking  map[uint32]newcomer
	remotes  map[uint32]remoteAddr // of open streams: their next request comes from there
	starved  []uint32              // queues that the kernel refused for want of memory: tried each tick
	commands []command
	arrivals []newcomer
	working  bool // Work returned true
	stopped  bool

	// Atomic; written by the loop, read by anyone.
	stats loopStats
	awake atomic.Int64  // since when it has not slept; 0 = it sleeps, or has not begun
	turns atomic.Uint64 // liveness: grows at least once a second
}

func newLoop(id int, srv *Server) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netio: epoll_create1: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("netio: eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(wakeFD)}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakeFD, &ev); err != nil {
		_ = unix.Close(epfd)
		_ = unix.Close(wakeFD)
		return nil, fmt.Errorf("netio: watch eventfd: %w", err)
	}
	l := &loop{
		id: id, srv: srv, kernel: srv.kernel, epfd: epfd, records: srv.records,
		inbox:   inbox{bound: srv.cfg.InboxCommands, wakeFD: wakeFD},
		parser:  frame.NewParser(),
		events:  make([]unix.EpollEvent, eventsPerWait),
		scratch: make([]byte, scratchBytes),
		iov:     make([]syscall.Iovec, 0, maxIovecs),
		shaking: map[uint32]newcomer{},
		remotes: map[uint32]remoteAddr{},
	}
	l.now = srv.clock.now()
	l.tick = tickOf(l.now)
	l.wheel = wheel.New(srv.nodes, l.tick)
	if err := l.joinPoller(); err != nil {
		return nil, err
	}
	return l, nil
}

// joinPoller puts the epoll descriptor itself into Go's network poller, so that
// an idle loop parks like any goroutine that waits for a socket: a thread blocked
// in epoll_wait would hold a processor until the scheduler's monitor took it away.
func (l *loop) joinPoller() error {
	if err := unix.SetNonblock(l.epfd, true); err != nil {
		return fmt.Errorf("netio: epoll descriptor: %w", err)
	}
	l.pollFile = os.NewFile(uintptr(l.epfd), "epoll")
	raw, err := l.pollFile.SyscallConn()
	if err != nil {
		return fmt.Errorf("netio: epoll descriptor: %w", err)
	}
	l.poll = raw
	l.waitFunc = func(uintptr) bool {
		l.ready = l.wait()
		return l.ready != 0 || l.inbox.pending.Load()
	}
	return nil
}

// wait polls the epoll set without blocking.
func (l *loop) wait() int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(l.epfd), uintptr(unsafe.Pointer(&l.events[0])), eventsPerWait, 0, 0, 0)
	if errno != 0 {
		return 0 // EINTR: the next turn asks again
	}
	return int(n)
}

// run is the loop's goroutine. It returns after stop, with every socket closed.
func (l *loop) run() {
	l.owner.Take()
	l.parser = frame.NewParser()
	for !l.stopped {
		l.turn()
	}
	l.closeAll()
}

// turn is one round: sockets are read before timers run, so that a peer that did
// speak is not taken for silent after a pause.
func (l *loop) turn() {
	woken := l.poll0()
	began := l.srv.clock.now()
	jump := began - l.now
	l.now, l.looked = began, began
	l.turns.Add(1)

	l.collect(woken)
	for _, ev := range l.events[:l.ready] {
		l.event(int(ev.Fd), ev.Events)
		l.giveWay(l.srv.clock.now())
	}
	l.readPostponed()
	l.settle()
	commands := l.runCommands()
	l.settle()
	if l.ready < eventsPerWait || commands > 0 || began-l.worked >= int64(eventSlice) {
		l.working = l.session.Work(l.now, l.now+int64(workSlice))
		l.settle()
		l.worked = l.srv.clock.now()
	} else {
		l.working = true // perhaps: the events may have begun a walk
	}
	if t := tickOf(l.now); t != l.tick {
		l.onTick(t, jump)
	}
	if l.large.waiting != nil {
		l.nextTurns()
	}
	ended := l.srv.clock.now()
	l.stats.turn(ended-began, l.ready)
	if l.working || len(l.again) > 0 || l.ready > 0 {
		l.giveWay(ended)
	}
	l.ready = 0
}

// giveWay lets those go on who publish while the loop has no reason to sleep: Go's
// scheduler would take the processor from it after 10 ms, the kernel's at its next
// tick.
func (l *loop) giveWay(now int64) {
	l.looked = now
	if now-l.gaveWay < int64(giveWayEvery) {
		return
	}
	l.gaveWay = now
	l.kernel.yield()
	if now-l.gosched >= int64(goschedEvery) {
		l.gosched = now
		runtime.Gosched()
	}
}

// poll0 fills events. It sleeps only when nothing at all is pending; it reports
// whether it did.
func (l *loop) poll0() bool {
	l.ready = l.wait()
	if l.ready > 0 || l.working || len(l.again) > 0 || l.inbox.pending.Load() {
		return false
	}
	l.busy = l.srv.clock.now() - l.awake.Swap(0)
	l.inbox.sleeping.Store(true)
	if err := l.poll.Read(l.waitFunc); err != nil {
		l.stopped = true // the descriptor was closed: shutdown
	}
	l.inbox.sleeping.Store(false)
	l.awake.Store(l.srv.clock.now())
	return true
}

// collect takes the inbox. After a sleep it gathers first.
func (l *loop) collect(woken bool) {
	l.commands, l.arrivals = l.inbox.take(l.commands, l.arrivals)
	if woken && len(l.commands) > 0 {
		l.gather()
	}
	for i := range l.arrivals {
		l.arrive(&l.arrivals[i])
		l.arrivals[i] = newcomer{}
	}
}

// gather lets those go on who have begun to post, until two looks in a row bring
// nothing new or gatherFor has passed. Where several posted the last time, it has
// patience: 32 publishes of one moment need a millisecond of the API, and to walk
// thousands of sockets once less pays for that.
func (l *loop) gather() {
	until, patience := l.now+int64(gatherFor), l.now
	if l.gathered > 1 {
		patience += l.busy / gatherShare
		until = max(until, min(patience, l.now+int64(gatherMost)))
	}
	for quiet, now := 0, l.now; now < until && (quiet < 2 || now < patience); now = l.srv.clock.now() {
		runtime.Gosched()
		l.kernel.yield()
		if !l.inbox.pending.Load() {
			quiet++
			continue
		}
		quiet = 0
		more, arrivals := l.inbox.take(nil, nil)
		l.commands = append(l.commands, more...)
		l.arrivals = append(l.arrivals, arrivals...)
	}
	l.gathered = len(l.commands)
}

// runCommands returns how many there were.
func (l *loop) runCommands() int {
	n := len(l.commands)
	for i := range l.commands {
		c := &l.commands[i]
		if c.op >= opNetio {
			l.control(c)
		} else {
			l.session.Command(l.now, c.op, c.arg, c.ref)
		}
		*c = command{} // drop the reference: the slice lives on
	}
	l.stats.commands.Add(uint64(n))
	l.commands = l.commands[:0]
	return n
}

// event handles what epoll said of one descriptor.
func (l *loop) event(fd int, events uint32) {
	if fd == l.inbox.wakeFD {
		return // edge-triggered: every write is an edge, the counter is never read
	}
	slot := uint32(fd)
	r := l.records.At(slot)
	if events&unix.EPOLLRDHUP != 0 {
		r.flags |= flagHalfShut
	}
	switch r.state {
	case stateHandshake:
		l.shake(slot, r, events)
	case stateOpen:
		if r.flags&flagStream != 0 {
			l.streamEvent(slot, r, events)
			return
		}
		if events&unix.EPOLLOUT != 0 && r.queue != 0 {
			l.flush(slot, r)
		}
		if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && r.state == stateOpen {
			l.readable(slot, r)
		}
	case stateClosing:
		if events&unix.EPOLLOUT != 0 && r.queue != 0 {
			l.flush(slot, r)
		}
		if r.state == stateClosing {
			l.drain(slot, r)
		}
	}
}

// readPostponed goes on with sockets that had more input than their share.
func (l *loop) readPostponed() {
	if len(l.again) == 0 {
		return
	}
	list := l.again
	l.again = l.spare[:0]
	for _, slot := range list {
		r := l.records.At(slot)
		if int(r.loop) != l.id || r.flags&flagReadAgain == 0 {
			continue
		}
		r.flags &^= flagReadAgain
		switch r.state {
		case stateHandshake:
			l.shake(slot, r, 0)
		case stateOpen:
			// A stream that was opened meanwhile: what follows its request waits in the
			// kernel for its end.
			if r.flags&flagStream == 0 {
				l.readable(slot, r)
			}
		case stateClosing:
			l.drain(slot, r)
		}
		l.giveWay(l.srv.clock.now())
	}
	l.spare = list
}

// onTick runs once a second.
func (l *loop) onTick(t wheel.Tick, jump int64) {
	if jump > int64(pauseJump) {
		l.resumed = t
	}
	l.stats.wheelLag.Store(uint64(t-l.tick-1) * uint64(time.Second))
	l.large.newTick(t, l.tick, int(l.stats.queuedNow.Load()))
	l.tick = t
	l.wheel.Advance(t, l.expire)
	l.settle()
	l.retryQueues()
	l.parser.Trim()
	l.session.Tick(l.now)
	l.settle()
	l.stats.entries.Store(int64(l.wheel.Len()))
}

// Commands of the loop itself; the session's are below.
const (
	opNetio uint8 = 0xf0
	opStop        = opNetio + iota
	opQuiet       // accepting has ended: sockets without a request end, too
	opDrop        // arg = descriptor that could not be watched after it was accepted
)

func (l *loop) control(c *command) {
	switch c.op {
	case opStop:
		l.stopped = true
	case opQuiet:
		l.endQuiet()
	case opDrop:
		slot := uint32(c.arg)
		l.kill(slot, l.records.At(slot), frame.Internal)
	}
}

// closeAll ends every socket of the loop without ceremony.
func (l *loop) closeAll() {
	for slot := uint32(1); int(slot) < l.records.Len() && int64(slot) <= l.srv.highest.Load(); slot++ {
		r := l.records.At(slot)
		if r.state != stateFree && int(r.loop) == l.id {
			l.kill(slot, r, frame.Drain)
		}
	}
	l.settle()
	_ = l.pollFile.Close()
	_ = unix.Close(l.inbox.wakeFD)
}
