package tuning

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// slice is what a thread of ours may use of a processor while another one waits. The
// kernel's own is 3 ms: the whole latency of a publish, several times over. Shorter ones
// than this cut the walks of a burst into pieces (200 µs: a third fewer deliveries), longer
// ones make whoever shares the core with another busy program wait (docs/performance.md).
const slice = time.Millisecond

// cores is read before a Spare changes it.
var cores = runtime.GOMAXPROCS(0)

// Cores is the number of processors that the process was given: by its affinity, its
// control group's quota, or GOMAXPROCS.
func Cores() int { return cores }

// ScheduleAsBatch keeps the process's threads from taking the processor from each other
// (sched(7), SCHED_BATCH): one that wakes waits until the one that runs sleeps, or has
// had its slice. Else the thread that starts the world again after a collection loses its
// core to the first one that it wakes, and a loop in the middle of a walk to whoever was
// woken by what it wrote. For the same reason slices are short: who waits does not wait
// long. The goroutine that starts the server calls it once, early: threads inherit it
// from those that make them.
//
// The kernel takes a slice by sched_setattr(2), sched_runtime, since Linux 6.12; earlier
// ones ignore it. A policy that the process was given (chrt, CPUSchedulingPolicy=) stays,
// unless it is SCHED_OTHER. After an error all is as it was for the thread that is named.
func ScheduleAsBatch() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	var failed error
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if err == nil && (attr.Policy == unix.SCHED_NORMAL || attr.Policy == unix.SCHED_BATCH) {
			attr.Policy, attr.Runtime = unix.SCHED_BATCH, uint64(slice)
			err = unix.SchedSetAttr(tid, attr, 0)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			failed = fmt.Errorf("sched_setattr of thread %d: %w", tid, err)
		}
	}
	return failed
}

const (
	// fewCores: with more, a processor that sleeps with its thread is one of many.
	fewCores = 4
	// lendFor is how often is looked for what was not needed since the last look, and so
	// how long a processor stays lent after it was last needed, at most twice that. Each
	// change stops the world, and waits for a collection under way: syncs that follow
	// each other must not make changes of their own. As long as one is lent, what else
	// the server does costs more.
	lendFor = 100 * time.Millisecond
)

// Spare lends Go's scheduler a processor for each thread that sleeps in the kernel:
// in fdatasync, or in netpoll's epoll_wait between two requests. Such a thread keeps
// the processor that it ran on until the scheduler has seen it asleep twice, up to
// 20 ms later; on one core nothing else of ours moves for so long.
//
// A processor that is always there would cost more than it gives: whatever becomes
// ready wakes a thread for it, which takes the core from its loop. A handshake costs
// a third more then.
//
// Its methods may be called by any goroutine.
type Spare struct {
	base int // immutable; 0: there are cores enough, nothing is lent

	served atomic.Bool // a request was served since takeBack last looked

	mu      sync.Mutex
	busy    func(time.Duration) bool // guarded by mu: nil = always
	asleep  int                      // guarded by mu: threads between Sleep and Awake
	serving bool                     // guarded by mu: whileServing are lent
	lent    int                      // guarded by mu: processors
	most    int                      // guarded by mu: were needed at once since takeBack last looked
	back    *time.Timer              // guarded by mu: takes back what nobody needs; runs while some are lent
}

// NewSpare lends to a process on so many cores.
func NewSpare(cores int) *Spare {
	s := &Spare{}
	if cores <= fewCores {
		s.base = cores
		s.back = time.AfterFunc(lendFor, s.takeBack)
		s.back.Stop()
	}
	return s
}

// busyAfter is for how long the server must have had no rest to be called busy.
const busyAfter = 150 * time.Millisecond

// Watch has a Spare ask whether the server has had no rest for so long. busy is called
// for each thread that goes to sleep, by any goroutine, and does not wait.
func (s *Spare) Watch(busy func(time.Duration) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = busy
}

// Sleep is called before a system call that waits for a disk, and Awake after it.
func (s *Spare) Sleep() {
	if s.base == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep++
	s.lend()
}

// Awake ends what Sleep began.
func (s *Spare) Awake() {
	if s.base == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep--
}

// Serve is called for each request of a plain HTTP conversation.
func (s *Spare) Serve() {
	if s.base == 0 || s.served.Load() || s.served.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = true
	s.lend()
}

// whileServing is lent while requests come: one for netpoll's thread, one for the
// sequencer's, whose write to the journal waits in the kernel now and then.
const whileServing = 2

// needed is how many processors sleep, or will. mu is held. While requests come to a
// server that has rests, a thread that syncs makes do with what is lent for them: each
// change stops the world, and with four processors on one core the start of a
// collection stops it for a millisecond and more.
func (s *Spare) needed() int {
	switch {
	case !s.serving:
		return s.asleep
	case s.busy == nil || s.busy(busyAfter):
		return s.asleep + whileServing
	}
	return max(s.asleep, whileServing)
}

// lend never takes back. mu is held.
func (s *Spare) lend() {
	n := s.needed()
	s.most = max(s.most, n)
	if n <= s.lent {
		return
	}
	if s.lent == 0 {
		s.back.Reset(lendFor)
	}
	s.lent = n
	runtime.GOMAXPROCS(s.base + n)
}

func (s *Spare) takeBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = s.served.Swap(false)
	s.most = max(s.most, s.needed()) // a request since may have found them lent
	if s.most < s.lent {
		s.lent = s.most
		runtime.GOMAXPROCS(s.base + s.lent)
	}
	s.most = s.needed()
	if s.lent > 0 {
		s.back.Reset(lendFor)
	}
}
