package router

import (
	"runtime"
	"sync"
)

// lookup is a request that waits for the log. Its connection is not read meanwhile,
// so what the client sends next cannot overtake it.
type lookup struct {
	ref connRef
	req request
}

// lookUp has the log asked off the loop and pauses the connection.
func (s *Shard) lookUp(slot uint32, x *session, req *request) {
	x.flags |= flagLooking
	l := &lookup{ref: s.ref(slot, x), req: *req}
	max := s.r.limits().RecoverEvents
	s.r.jobs.run(func() {
		l.req.ask(s.r, max)
		s.r.loops.MustPost(int(l.ref.loop), opLookedUp, 0, l)
	})
}

// lookedUp goes on with a request whose answer has come, and with its connection.
func (s *Shard) lookedUp(l *lookup) {
	if !s.sessions.is(l.ref) {
		s.settle(&l.req)
		return
	}
	slot := l.ref.slot
	x := s.sessions.at(slot)
	x.flags &^= flagLooking
	if x.flags&flagEnding != 0 {
		s.settle(&l.req)
		return
	}
	s.proceed(slot, x, &l.req)
	if x.flags&(flagLooking|flagPaused|flagEnding) == 0 {
		s.conns.Resume(slot)
	}
}

// jobs runs what may block, on a few goroutines that end when there is nothing to
// do. Its queue is bounded by its callers: each connection has at most one job, and
// each block that is waited for.
type jobs struct {
	mu      sync.Mutex
	queue   []func()
	workers int
	most    int // workers at once; 0 = maxWorkers. Set before the first job

	// inline, set before the first job, runs each at once: for tests that decide about
	// every step.
	inline bool
}

// maxWorkers is how many jobs run at once: reads that miss memory wait for the disk.
// brokerWorkers is the same where they wait for another host, which answers many
// questions in the time of one.
const (
	maxWorkers    = 8
	brokerWorkers = 256
)

func (j *jobs) run(job func()) {
	if j.inline {
		job()
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, job)
	if j.workers < max(j.most, maxWorkers) {
		j.workers++
		go j.work()
	}
}

func (j *jobs) work() {
	for {
		j.mu.Lock()
		if len(j.queue) == 0 {
			j.workers--
			j.queue = nil
			j.mu.Unlock()
			return
		}
		job := j.queue[0]
		j.queue[0] = nil
		j.queue = j.queue[1:]
		j.mu.Unlock()
		job()
		// Jobs are short and may be thousands: loops and publishers go first.
		runtime.Gosched()
	}
}
