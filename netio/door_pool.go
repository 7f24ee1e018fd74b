package netio

import (
	"slices"
	"sync"
)

// doorKeptWorkers is how many goroutines without work are kept for good, and as many
// as the busiest second lately needed are kept besides. A new one would have to grow
// its stack for every request, which costs as much as reading and checking one.
const doorKeptWorkers = 16

// doorPool bounds how many conversations are worked on at a time. Whoever finds
// no place waits behind those that came before: tasks as entries of a queue,
// without a goroutine, and tasks that gave their place up for a slow client as
// the goroutines that they are.
type doorPool struct {
	mu      sync.Mutex
	free    int // places
	waiting []doorWaiter
	idle    []chan doorTask // of workers that are kept; the last one stopped last
	unused  int             // of idle: how many nobody has needed since the last trim
	closed  bool            // no worker is kept
}

// doorTask is a task of netpoll's for a conversation; the zero value is none.
type doorTask struct {
	conn *doorConn
	run  func()
}

// doorWaiter is a task that has not begun, or a goroutine that wants its place back.
type doorWaiter struct {
	task doorTask
	wake chan struct{} // nil: it is a task
}

func newDoorPool(places int) *doorPool { return &doorPool{free: places} }

// start has a task run by a worker as soon as there is a place. It never blocks.
func (p *doorPool) start(task doorTask) {
	if p.take(doorWaiter{task: task}) {
		p.employ(task)
	}
}

// acquire waits for a place, and is for a running task that released its own.
func (p *doorPool) acquire() {
	wake := make(chan struct{})
	if !p.take(doorWaiter{wake: wake}) {
		<-wake
	}
}

// release gives up the place of a running task, to whoever waits longest.
func (p *doorPool) release() {
	next, ok := p.next()
	switch {
	case !ok:
	case next.wake == nil:
		p.employ(next.task)
	default:
		close(next.wake)
	}
}

// crowded tells whether anyone waits.
func (p *doorPool) crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

// close lets the workers go that have nothing to do, now and from now on.
func (p *doorPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, worker := range p.idle {
		close(worker)
	}
	p.idle = nil
}

// employ gives a task that has a place to a worker.
func (p *doorPool) employ(task doorTask) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		go p.work(task)
		return
	}
	p.idle[last] <- task
	p.idle = p.idle[:last]
	p.unused = min(p.unused, last)
}

// trim lets the workers go that nobody has needed since it was called last, but for a
// few. About once a second.
func (p *doorPool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := min(p.unused, len(p.idle)-doorKeptWorkers); n > 0 {
		for _, worker := range p.idle[:n] {
			close(worker)
		}
		p.idle = slices.Delete(p.idle, 0, n) // those that stopped first
	}
	p.unused = len(p.idle)
}

// work is a worker: it runs a task, and then others, in its place while such wait
// and later in other places.
func (p *doorPool) work(task doorTask) {
	own := make(chan doorTask, 1)
	var handing *doorHanding
	for task.conn != nil {
		handing = nil
		task.conn.run(task.run, &handing)
		next, ok := p.next()
		if ok && next.wake == nil {
			task = next.task
			continue
		}
		if ok {
			close(next.wake)
		}
		if !p.rest(own) {
			return
		}
		task = <-own // none when the worker is let go
	}
}

// rest lists a worker as idle; false means that it is not needed.
func (p *doorPool) rest(own chan doorTask) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.idle = append(p.idle, own)
	return true
}

// take returns true when there was a free place; else w is queued.
func (p *doorPool) take(w doorWaiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free > 0 {
		p.free--
		return true
	}
	p.waiting = append(p.waiting, w)
	return false
}

// next hands the caller's place to the first in the queue, or frees it.
func (p *doorPool) next() (doorWaiter, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.free++
		return doorWaiter{}, false
	}
	first := p.waiting[0]
	p.waiting[0] = doorWaiter{}
	if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	return first, true
}
