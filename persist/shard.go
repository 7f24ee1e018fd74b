package persist

import (
	"sync"

	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// shard is one sequencer: the goroutine that gives the events of its channels their
// places, and what it knows of those channels.
//
// Locks are taken in the order loading, flight, table, channel.mu, keys.mu.
type shard struct {
	// Immutable after newShard.
	log     *Log
	id      int
	wake    chan struct{} // capacity 1; never closed
	stopped chan struct{} // closed when run has returned

	queue struct {
		sync.Mutex
		events   []Append
		controls []func() // run by the sequencer between two groups
		closing  bool
	}

	// Owned by the sequencer.
	owner   invariant.Owner
	work    []Append // taken from the queue; worked up to done
	done    int
	pending []waiter   // events that wait for a sync, in order
	over    []waiter   // scratch of settle
	broken  []*channel // handed out events that are not in the log
	g       group      // scratch of one group
	number  uint64     // of the last group

	synced, failures uint64 // what settle has seen of Log.syncs

	// flight is held from the first assignment of a group until its events are in the
	// index, and by whoever needs no group to be between the two.
	flight sync.Mutex
	dirty  []*channel // guarded by flight: have something that a checkpoint must write

	loading  sync.Mutex // held to make a channel resident
	table    sync.RWMutex
	channels map[string]*channel // guarded by table
	ring     []*channel          // guarded by table: all of them, the longest unexamined first
}

func newShard(l *Log, id int) *shard {
	return &shard{
		log: l, id: id, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		channels: map[string]*channel{},
	}
}

// enqueue puts events behind those that wait. They are admitted already.
func (s *shard) enqueue(events []Append) {
	s.queue.Lock()
	s.queue.events = append(s.queue.events, events...)
	s.queue.Unlock()
	s.kick()
}

// enqueueSome is enqueue for those events that of gives to a shard.
func (s *shard) enqueueSome(events []Append, of []uint8, id uint8) {
	s.queue.Lock()
	for i := range events {
		if of[i] == id {
			s.queue.events = append(s.queue.events, events[i])
		}
	}
	s.queue.Unlock()
	s.kick()
}

// do runs f on the sequencer and returns when it has; false when the log is closed.
// f sees every sync that was over before the call.
func (s *shard) do(f func()) bool {
	done := make(chan struct{})
	s.queue.Lock()
	if s.queue.closing {
		s.queue.Unlock()
		return false
	}
	s.queue.controls = append(s.queue.controls, func() { f(); close(done) })
	s.queue.Unlock()
	s.kick()
	<-done
	return true
}

func (s *shard) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the sequencer.
func (s *shard) run() {
	defer close(s.stopped)
	s.owner.Take()
	for {
		controls, closing := s.take()
		s.settle()
		s.mend()
		switch {
		case s.done == len(s.work):
		case s.log.standby.Load():
			s.stepStandby()
		default:
			s.step()
		}
		for _, f := range controls {
			f()
		}
		if s.done < len(s.work) {
			continue
		}
		if closing && len(s.pending) == 0 && s.empty() {
			return
		}
		if len(controls) == 0 && s.empty() {
			<-s.wake
		}
	}
}

// take refills work when it is used up.
func (s *shard) take() (controls []func(), closing bool) {
	s.queue.Lock()
	defer s.queue.Unlock()
	if s.done == len(s.work) {
		clear(s.work)
		s.work, s.queue.events = s.queue.events, s.work[:0]
		s.done = 0
		if cap(s.queue.events) > 4*s.log.cfg.GroupEvents && cap(s.queue.events) > 4*len(s.work) {
			s.queue.events = nil // a burst is over
		}
	}
	controls, s.queue.controls = s.queue.controls, nil
	return controls, s.queue.closing
}

func (s *shard) empty() bool {
	s.queue.Lock()
	defer s.queue.Unlock()
	return len(s.queue.events) == 0 && len(s.queue.controls) == 0
}

// close makes run return once everything queued is done.
func (s *shard) close() {
	s.queue.Lock()
	s.queue.closing = true
	s.queue.Unlock()
	s.kick()
}

// list makes the next checkpoint look at the channel. flight is held.
func (s *shard) list(c *channel) {
	if !c.listed {
		c.listed = true
		s.dirty = append(s.dirty, c)
	}
}
