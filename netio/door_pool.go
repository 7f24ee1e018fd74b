package netio

import "sync"

// doorKeptWorkers is how many goroutines without work are kept. A new one would
// have to grow its stack for every request, which costs more than the request.
const doorKeptWorkers = 16

// doorPool bounds how many conversations are worked on at a time. Whoever finds
// no place waits behind those that came before: tasks as entries of a queue,
// without a goroutine, and tasks that gave their place up for a slow client as
// the goroutines that they are.
type doorPool struct {
	mu      sync.Mutex
	free    int // places
	waiting []doorWaiter
	idle    []chan func() // of workers that are kept; the last one stopped last
	closed  bool          // no worker is kept
}

// doorWaiter is a conversation's task that has not begun, or a goroutine that
// wants its place back.
type doorWaiter struct {
	run  func()
	wake chan struct{}
}

func newDoorPool(places int) *doorPool { return &doorPool{free: places} }

// start has a task run by a worker as soon as there is a place. It never blocks.
func (p *doorPool) start(run func()) {
	if p.take(doorWaiter{run: run}) {
		p.employ(run)
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
	case next.run != nil:
		p.employ(next.run)
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
func (p *doorPool) employ(run func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		go p.work(run)
		return
	}
	p.idle[last] <- run
	p.idle = p.idle[:last]
}

// work is a worker: it runs a task, and then others, in its place while such wait
// and later in other places.
func (p *doorPool) work(run func()) {
	own := make(chan func(), 1)
	for run != nil {
		run()
		next, ok := p.next()
		if ok && next.run != nil {
			run = next.run
			continue
		}
		if ok {
			close(next.wake)
		}
		if !p.rest(own) {
			return
		}
		run = <-own // nil when the pool closes
	}
}

// rest lists a worker as idle; false means that it is not needed.
func (p *doorPool) rest(own chan func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == doorKeptWorkers {
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
