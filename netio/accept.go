package netio

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch is how many sockets one wake-up takes before other goroutines
	// get their turn.
	acceptBatch = 16
	// acceptsInARow is how many it takes before other threads get theirs: behind all
	// sixteen a loop would wait for 200 us.
	acceptsInARow = 2
	// A kernel without descriptors or memory is asked again after firstBackoff,
	// doubling to lastBackoff.
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = time.Second
)

// acceptor takes connections off one listener's queue and spreads them over the
// loops.
type acceptor struct {
	// Immutable.
	srv   *Server
	index uint8
	ln    *listener

	// Owned by run's goroutine.
	pause   time.Duration
	backoff time.Duration
	reserve *os.File // a descriptor kept free for the moment when none is left
	timer   *time.Timer

	// Atomic.
	results [acceptResults]atomic.Uint64
	armed   atomic.Bool // run has begun
}

type acceptResult int

const (
	acceptOK acceptResult = iota
	acceptThrottled
	acceptEmfile
	acceptAborted
	acceptDenied
	acceptResults
)

var acceptLabels = [acceptResults]string{"ok", "throttled", "emfile", "aborted", "denied"}

// run accepts until the listener is closed. It sleeps in Go's poller, and pauses
// by timer when admission says so; it never spins.
func (a *acceptor) run() {
	a.reserve, _ = os.Open("/dev/null")
	a.timer = time.NewTimer(time.Hour)
	a.timer.Stop()
	a.armed.Store(true)
	batch := func(fd uintptr) bool { return a.batch(int(fd)) }
	for {
		a.pause = 0
		if err := a.ln.raw.Read(batch); err != nil {
			break
		}
		if a.pause == 0 {
			runtime.Gosched()
			continue
		}
		a.timer.Reset(a.pause)
		select {
		case <-a.timer.C:
		case <-a.srv.quit:
			return
		}
	}
	if a.reserve != nil {
		_ = a.reserve.Close()
	}
}

// batch accepts up to acceptBatch sockets. It returns false when the queue is
// empty and true when it wants to be called again, after a.pause.
func (a *acceptor) batch(fd int) bool {
	for n := range acceptBatch {
		if n > 0 && n%acceptsInARow == 0 {
			a.srv.kernel.yield()
		}
		if wait := a.srv.admission.wait(a.srv.door.conversations()); wait > 0 {
			a.results[acceptThrottled].Add(1)
			a.pause = wait
			return true
		}
		conn, remote, errno := a.srv.kernel.accept(fd)
		switch errno {
		case 0:
			a.backoff = 0
			a.admit(conn, remote)
		case syscall.EAGAIN:
			return false
		case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
			a.exhausted(fd)
			return true
		default:
			// ECONNABORTED, EPROTO, EPERM (a firewall): this one is gone, the next may do.
			a.results[acceptAborted].Add(1)
		}
	}
	return true
}

// exhausted handles a kernel that has no descriptor left. One waiting socket is
// taken on the reserve and closed, so that a balancer's check sees life rather
// than a connect that hangs.
func (a *acceptor) exhausted(fd int) {
	a.results[acceptEmfile].Add(1)
	if a.reserve != nil {
		_ = a.reserve.Close()
		if conn, _, errno := a.srv.kernel.accept(fd); errno == 0 {
			_ = a.srv.kernel.close(conn)
		}
	}
	a.reserve, _ = os.Open("/dev/null")
	a.backoff = min(max(firstBackoff, 2*a.backoff), lastBackoff)
	a.pause = a.backoff
}

func (a *acceptor) admit(fd int, remote remoteAddr) {
	srv := a.srv
	if fd >= srv.records.Len() {
		a.results[acceptEmfile].Add(1) // the limit was raised behind our back
		_ = srv.kernel.close(fd)
		return
	}
	if !srv.admission.admit(remote.Addr()) {
		a.results[acceptDenied].Add(1)
		_ = srv.kernel.close(fd)
		return
	}
	a.results[acceptOK].Add(1)
	l := srv.nextLoop()
	// The socket is queued before it is watched: its first event finds it known.
	// The loop is not woken for it; that event, or the next tick, does.
	l.inbox.enter(newcomer{fd: fd, remote: remote, listener: a.index}, true)
	if errno := srv.kernel.watch(l.epfd, fd); errno != 0 {
		if errno == unix.ENOSPC { // fs.epoll.max_user_watches
			srv.admission.lower()
		}
		a.results[acceptAborted].Add(1)
		l.inbox.post(command{op: opDrop, arg: uint64(fd)}, true)
	}
}
