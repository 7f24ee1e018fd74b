package router

import (
	"sync/atomic"
)

// command is one inbox entry that waits for its channel's turn.
type command struct {
	op  uint8
	arg uint64
	ref any
}

// queue holds the commands of one local channel, in order, while they wait or a
// walk runs. Only busy channels have one.
type queue struct {
	number uint32 // its own index in the table
	local  uint32 // the channel; 0 after it was retired
	items  []command
	head   int // first item that waits
	walk   walk

	caughtUp []*cursor // members that are live when the walk under way has ended
}

func (q *queue) empty() bool { return q.head == len(q.items) }

// next removes and returns the first item.
func (q *queue) next() command {
	c := q.items[q.head]
	q.items[q.head] = command{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return c
}

// push appends an item; the space of what was taken is used again.
func (q *queue) push(c command) {
	if q.head > 64 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, c)
}

// queueTable numbers the queues, so that a record outside the Go heap can name one.
type queueTable struct {
	rows []*queue // index 0 is not used
	free []uint32
}

// keptItems is how much room an unused queue keeps for its next use.
const keptItems = 256

func newQueueTable() queueTable { return queueTable{rows: make([]*queue, 1)} }

func (t *queueTable) at(number uint32) *queue { return t.rows[number] }

func (t *queueTable) take(local uint32) *queue {
	if n := len(t.free); n > 0 {
		q := t.rows[t.free[n-1]]
		t.free = t.free[:n-1]
		q.local = local
		return q
	}
	q := &queue{number: uint32(len(t.rows)), local: local}
	t.rows = append(t.rows, q)
	return q
}

func (t *queueTable) release(q *queue) {
	if cap(q.items) > keptItems {
		q.items = nil
	}
	q.items, q.head, q.local = q.items[:0], 0, 0
	t.free = append(t.free, q.number)
}

// enqueue appends a command to a local channel's queue and makes Work look at it.
func (s *Shard) enqueue(local uint32, c command) {
	l := s.locals.At(local)
	if l.queue == 0 {
		q := s.queues.take(local)
		l.queue = q.number
		s.run.push(q)
	}
	s.queues.at(l.queue).push(c)
}

// runList is the round robin of the busy channels.
type runList struct {
	rows []*queue
	head int
}

func (l *runList) empty() bool { return l.head == len(l.rows) }

func (l *runList) push(q *queue) {
	if l.head > 64 && l.head > len(l.rows)/2 {
		n := copy(l.rows, l.rows[l.head:])
		clear(l.rows[n:])
		l.rows, l.head = l.rows[:n], 0
	}
	l.rows = append(l.rows, q)
}

func (l *runList) pop() *queue {
	q := l.rows[l.head]
	l.rows[l.head] = nil
	l.head++
	return q
}

// backlog is what was posted to a loop and has not been walked to its end. It is
// the bound behind ErrBusy: neither the inbox nor a channel's queue has one.
type backlog struct {
	events atomic.Int64
	bytes  atomic.Int64
}

func (b *backlog) add(d *delivery) {
	b.events.Add(1)
	b.bytes.Add(d.size)
}

func (b *backlog) sub(d *delivery) {
	b.events.Add(-1)
	b.bytes.Add(-d.size)
}

// over tells whether another event must be refused.
func (b *backlog) over(maxEvents, maxBytes int64) bool {
	return b.events.Load() >= maxEvents || b.bytes.Load() >= maxBytes
}
