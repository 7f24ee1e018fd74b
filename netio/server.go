package netio

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
	"github.com/holdfast-edge/holdfast/tuning/statm"
)

// Conns is what a session may do to its loop's connections; every call is made
// on the loop's goroutine.
type Conns interface {
	Send(conn uint32, frames []byte)
	Deliver(conn uint32, b *frame.Batch) bool
	Push(conn uint32, b *frame.Batch)
	Empty(conn uint32) bool
	Hold(conn uint32, on bool)
	Finish(conn uint32, keep bool)
	Close(conn uint32, r frame.CloseReason)
	Resume(conn uint32)
}

// Server is the transport: listeners, acceptors, loops and the netpoll door.
type Server struct {
	// Immutable after New.
	cfg     Config
	clock   clock
	kernel  kernel
	records *offheap.Table[record]
	nodes   *offheap.Table[wheel.Node]
	loops   []*loop
	door    *door

	// Set by Start, read-only afterwards.
	acceptors []*acceptor
	quit      chan struct{} // closed when accepting ends

	// Atomic; any goroutine.
	admission *admission
	limitsNow atomic.Pointer[limitSet]
	next      atomic.Uint32 // round robin over loops
	highest   atomic.Int64  // highest slot ever used
	accepting atomic.Bool
	ending    atomic.Bool // Shutdown was called

	running sync.WaitGroup // loops
	workers sync.WaitGroup // acceptors and the beat
	stopped chan struct{}  // closed when the beat must end
}

// reservedDescriptors are kept for listeners, logs, the data directory and the
// admin listener.
const reservedDescriptors = 512

// New prepares a server; it opens no socket yet.
func New(cfg Config) (*Server, error) { return newServer(cfg, realKernel()) }

func newServer(cfg Config, k kernel) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, clock: newClock(), kernel: k, quit: make(chan struct{}), stopped: make(chan struct{})}
	var err error
	slots := int(cfg.Descriptors)
	if s.records, err = offheap.NewTable[record](slots); err != nil {
		return nil, err
	}
	if s.nodes, err = offheap.NewTable[wheel.Node](slots); err != nil {
		return nil, err
	}
	s.limitsNow.Store(cfg.Limits.set())
	s.admission = newAdmission(cfg.Admission, s.ceiling(cfg.Admission), s.clock.now)
	s.door, err = newDoor(doorConfig{
		Serve: cfg.ServeHTTP, Conversations: cfg.Conversations,
		BodyTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, WriteTimeout: 10 * time.Second,
		Limits:  s.doorLimits,
		Streams: s.takesStream,
		Upgrade: s.fromDoor, Log: cfg.Log, Now: s.clock.now,
	})
	if err != nil {
		return nil, err
	}
	for i := range cfg.Loops {
		l, err := newLoop(i, s)
		if err != nil {
			return nil, err
		}
		s.loops = append(s.loops, l)
	}
	return s, nil
}

// ceiling is how many sockets may be open. Beyond the tables none can be served,
// so a ceiling that a reload raises above them is cut.
func (s *Server) ceiling(a Admission) int {
	most := max(1, s.records.Len()-reservedDescriptors)
	if a.MaxConnections > 0 {
		return min(a.MaxConnections, most)
	}
	return most
}

// Conns returns loop i's connections, for the session that Attach will bring.
func (s *Server) Conns(i int) Conns { return s.loops[i] }

// Attach gives loop i its session. Before Start.
func (s *Server) Attach(i int, session Session) { s.loops[i].session = session }

// Now is the loops' clock: monotonic nanoseconds since the server was made.
func (s *Server) Now() int64 { return s.clock.now() }

// Count is the number of loops.
func (s *Server) Count() int { return len(s.loops) }

// Post queues a command for a loop's session; false means that the loop is over
// its bound and nothing was queued. Any goroutine. op is below 0xf0.
func (s *Server) Post(loop int, op uint8, arg uint64, ref any) bool {
	return s.loops[loop].inbox.post(command{op, arg, ref}, false)
}

// MustPost is Post without the bound: for markers and closes, whose number is
// bounded elsewhere.
func (s *Server) MustPost(loop int, op uint8, arg uint64, ref any) {
	s.loops[loop].inbox.post(command{op, arg, ref}, true)
}

// Start binds the listeners and begins to serve.
func (s *Server) Start() error {
	for _, spec := range s.cfg.Listen {
		ln, err := listen(spec)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.acceptors = append(s.acceptors, &acceptor{srv: s, index: uint8(len(s.acceptors)), ln: ln})
	}
	for _, l := range s.loops {
		s.running.Go(l.run)
	}
	s.accepting.Store(true)
	for _, a := range s.acceptors {
		s.workers.Go(a.run)
	}
	s.workers.Go(s.beat)
	return nil
}

// Addrs are the bound addresses, in the order of Config.Listen. After Start.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.acceptors))
	for i, a := range s.acceptors {
		addrs[i] = a.ln.local
	}
	return addrs
}

// StopAccepting closes the listeners. It is idempotent.
func (s *Server) StopAccepting() {
	if s.accepting.CompareAndSwap(true, false) {
		close(s.quit)
		s.closeListeners()
		for _, l := range s.loops {
			l.inbox.post(command{op: opQuiet}, true)
		}
	}
}

// Shutdown waits until every connection has ended, or ctx is done, and stops the
// loops. The sessions must have been told to close their connections before. A
// second call does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.ending.CompareAndSwap(false, true) {
		return nil
	}
	s.StopAccepting()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	s.door.shutdown(deadline)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	var err error
	for s.admission.live.Load() > 0 && err == nil {
		select {
		case <-poll.C:
		case <-ctx.Done():
			err = fmt.Errorf("netio: %d connections were cut at the shutdown deadline: %w", s.admission.live.Load(), ctx.Err())
		}
	}
	for _, l := range s.loops {
		l.inbox.post(command{op: opStop}, true)
	}
	s.running.Wait()
	close(s.stopped)
	s.workers.Wait()
	return err
}

// SetLimits replaces the limits of a running server, in both doors and on the open
// connections. Deadlines that already run keep their length.
func (s *Server) SetLimits(l Limits) { s.limitsNow.Store(l.set()) }

// SetAdmission replaces the admission settings.
func (s *Server) SetAdmission(a Admission) { s.admission.configure(a, s.ceiling(a)) }

// Moving tells whether every loop has turned since the last call; the caller is
// one watchdog that asks at intervals of two seconds or more.
func (s *Server) Moving(last []uint64) (turns []uint64, moving bool) {
	turns, moving = make([]uint64, len(s.loops)), true
	for i, l := range s.loops {
		turns[i] = l.turns.Load()
		if i < len(last) && turns[i] == last[i] {
			moving = false
		}
	}
	return turns, moving
}

// Busy tells whether a loop has not slept for that long. Any goroutine may call it.
func (s *Server) Busy(d time.Duration) bool {
	now := s.clock.now()
	return slices.ContainsFunc(s.loops, func(l *loop) bool {
		since := l.awake.Load()
		return since != 0 && now-since > int64(d)
	})
}

// Accepting tells whether new connections are taken.
func (s *Server) Accepting() bool { return s.accepting.Load() && !s.admission.full.Load() }

// Sockets counts the client sockets that are open, those of plain HTTP included.
func (s *Server) Sockets() int { return int(s.admission.live.Load()) + s.door.conversations() }

func (s *Server) limits() *limitSet { return s.limitsNow.Load() }

func (s *Server) nextLoop() *loop { return s.loops[int(s.next.Add(1))%len(s.loops)] }

func (s *Server) localAddr(listener uint8) net.Addr { return s.acceptors[listener].ln.local }

func (s *Server) noteSlot(slot uint32) {
	for {
		high := s.highest.Load()
		if int64(slot) <= high || s.highest.CompareAndSwap(high, int64(slot)) {
			return
		}
	}
}

// fromDoor takes a socket whose later request was an upgrade; netpoll has let go
// of it.
func (s *Server) fromDoor(fd int, head []byte, _, remote net.Addr) {
	var from remoteAddr
	if tcp, ok := remote.(*net.TCPAddr); ok {
		from = remoteAddr{tcp.AddrPort()}
	}
	if !s.accepting.Load() || fd >= s.records.Len() {
		_ = s.kernel.close(fd)
		return
	}
	s.admission.entered()
	s.nextLoop().inbox.enter(newcomer{fd: fd, remote: from, head: head}, false)
}

// doorLimits is what the netpoll door goes by now.
func (s *Server) doorLimits() doorLimits { return s.limits().door }

// stripPrefix removes Config.PathPrefix; false means that path lies outside it.
func (s *Server) stripPrefix(path []byte) ([]byte, bool) {
	prefix := s.cfg.PathPrefix
	if prefix == "" {
		return path, true
	}
	if len(path) > len(prefix) && string(path[:len(prefix)]) == prefix && path[len(prefix)] == '/' {
		return path[len(prefix):], true
	}
	return nil, false
}

// activity spreads the advertised activity timeout over the last twelfth of its
// value, so that clients which connected together do not ping together.
func (s *Server) activity(gen uint32) int {
	base := s.limits().activity
	spread := base/12 + 1
	return int(base - (gen*2654435761>>16)%spread)
}

// beat wakes every loop once a second, so that ticks pass and turns grow on an
// idle server, and looks after what is measured by the second.
func (s *Server) beat() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.stopped:
			return
		}
		for _, l := range s.loops {
			l.inbox.kick()
		}
		s.door.tick(s.clock.now())
		s.admission.full.Store(s.overMemory())
	}
}

func (s *Server) overMemory() bool {
	s.admission.mu.Lock()
	bound := s.admission.cfg.MemoryBytes
	s.admission.mu.Unlock()
	if bound == 0 {
		return false
	}
	memory, err := statm.Read()
	return err == nil && memory.Resident+uint64(s.admission.live.Load())*4096 > bound
}

func (s *Server) closeListeners() {
	for _, a := range s.acceptors {
		a.ln.close()
	}
}
