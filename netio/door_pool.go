package netio

import "sync"

// doorPool bounds how many conversations are worked on at a time. Whoever finds
// no place waits behind those that came before: tasks as entries of a queue,
// without a goroutine, and tasks that gave their place up for a slow client as
// the goroutines that they are.
type doorPool struct {
	mu      sync.Mutex
	free    int
	waiting []doorWaiter
}

// doorWaiter is a conversation's task that has not begun, or a goroutine that
// wants its place back.
type doorWaiter struct {
	run  func()
	wake chan struct{}
}

func newDoorPool(places int) *doorPool { return &doorPool{free: places} }

// start runs a task on a goroutine of its own when it has a place. It never blocks.
func (p *doorPool) start(run func()) {
	if p.take(doorWaiter{run: run}) {
		go p.work(run)
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
		go p.work(next.run)
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

// work runs a task, and then others in its place while such wait.
func (p *doorPool) work(run func()) {
	for {
		run()
		next, ok := p.next()
		if !ok {
			return
		}
		if next.run == nil {
			close(next.wake)
			return
		}
		run = next.run
	}
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
