package router

import (
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

const (
	// workSockets is how many connections one call of Work writes to at most.
	workSockets = 256
	// sideShare is what rosters and mass closes may take of it, so that neither they
	// nor the channels starve.
	sideShare = 64
	// pullSlice is how long one call of Work serves cursors. Each writes up to 64 KiB:
	// when thousands come back at once, what others are sent live waits behind few.
	pullSlice = 50 * time.Microsecond
	// clockEvery is how many connections pass between two looks at the clock.
	clockEvery = 32
	// batchEvents and batchBytes bound one batch: a receiver that reads must be able
	// to take it into its socket buffer, or it would look slow.
	batchEvents = 64
	batchBytes  = 48 << 10
)

// walk is the delivery of one batch to the members of one local channel.
//
// The members are [0, cursor) that have it and [cursor, count) that wait for it.
//   - W1: joins wait in the channel's queue until the walk has ended, so the end
//     of the array at the start of the walk is the end of the walk, less the
//     members that left.
//   - W2: a removal keeps the partition (Shard.drop): the place of a member that
//     has the batch is filled from cursor-1, that place from the end, and the
//     cursor steps back; the place of a waiting one is filled from the end.
//
// So every member that stays gets the batch exactly once.
type walk struct {
	batch   *frame.Batch // nil: no walk is under way
	events  []*delivery  // what the batch consists of, in order
	skips   []skip       // connections that must not get some of the events
	cursor  uint32
	visited int
	refused int

	first, last uint64 // numbers of the first and the last event that has one; 0 = none has
	unnumbered  bool   // some events have no number
	breaks      bool   // one of them leaves behind whoever is behind
	check       walkCheck
}

// skip excludes one connection from one event of a batch.
type skip struct {
	slot  uint32
	event int
	met   bool // the walk came to the connection: it was left out
}

// batchScratch is memory for the making of batches.
type batchScratch struct{ prepared []*frame.Prepared }

// budget is what one call of Work may still do.
type budget struct {
	left     int   // connections
	unread   int   // connections since the clock was read
	deadline int64 // monotonic ns
	clock    func() int64
}

// spend accounts for n connections.
func (b *budget) spend(n int) {
	b.left -= n
	b.unread += n
	if b.unread < clockEvery {
		return
	}
	b.unread = 0
	if b.clock() >= b.deadline {
		b.left = 0
	}
}

// Work goes on with what is pending and tells whether more is. It returns after
// workSockets connections, or soon after deadline, but never without progress.
func (s *Shard) Work(now, deadline int64) bool {
	s.enter()
	s.now = now
	if s.idle() {
		return false
	}
	b := budget{left: workSockets, deadline: deadline, clock: s.r.clock}
	s.workSide(&b)
	for b.left > 0 && !s.run.empty() {
		q := s.run.pop()
		if s.step(q, &b) {
			s.run.push(q)
			continue
		}
		if q.local != 0 {
			s.locals.At(q.local).queue = 0
		}
		s.queues.release(q)
	}
	s.wakePolls()
	return !s.idle()
}

func (s *Shard) idle() bool {
	return s.run.empty() && len(s.rosters) == 0 && len(s.closings) == 0 && len(s.pulls) == 0
}

// step goes on with one channel until its walk ends, its queue is empty or the
// budget is. It tells whether the channel has more to do.
func (s *Shard) step(q *queue, b *budget) bool {
	for b.left > 0 {
		if q.walk.batch != nil {
			if s.deliver(q, b) {
				s.endWalk(q)
				return !q.empty()
			}
			continue
		}
		if q.empty() {
			return false
		}
		if q.items[q.head].op == opDeliver {
			s.beginWalk(q)
			continue
		}
		c := q.next()
		s.execute(&c)
		b.spend(1)
	}
	return q.walk.batch != nil || !q.empty()
}

// beginWalk makes one batch of the events that follow each other at the head of
// the queue.
func (s *Shard) beginWalk(q *queue) {
	w := &q.walk
	size := int64(0)
	for !q.empty() && q.items[q.head].op == opDeliver && len(w.events) < batchEvents {
		d := q.items[q.head].ref.(*delivery)
		if size += d.size; size > batchBytes && len(w.events) > 0 {
			break
		}
		q.next()
		w.events = append(w.events, d)
		w.note(d)
	}
	l := s.locals.At(q.local)
	if l.count == 0 {
		s.endWalk(q)
		return
	}
	prepared := s.batch.prepared[:0]
	for i, d := range w.events {
		prepared = append(prepared, d.prepared)
		if int(d.except.loop) == s.id && s.sessions.is(d.except) {
			w.skips = append(w.skips, skip{slot: d.except.slot, event: i})
		}
	}
	w.batch = frame.NewBatch(prepared, s.deflate > 0)
	s.batch.prepared = forget(prepared)
	s.stats.batches.Add(1)
	s.stats.batched.Add(uint64(len(w.events)))
	w.check.begin(s, l)
}

// deliver writes the batch to members until the budget is spent. It tells whether
// the walk has ended. It allocates nothing per member.
func (s *Shard) deliver(q *queue, b *budget) bool {
	w, l := &q.walk, s.locals.At(q.local)
	for w.cursor < l.count && b.left > 0 {
		span := s.arrays.span(l, w.cursor)
		n := min(len(span), b.left, clockEvery)
		for _, slot := range span[:n] {
			w.check.visit(slot)
			if len(w.skips) > 0 && w.skipsSlot(slot) {
				s.deliverRest(q, slot)
				continue
			}
			if !s.conns.Deliver(slot, w.batch) {
				s.refused(q, slot)
			}
		}
		w.cursor += uint32(n)
		w.visited += n
		b.spend(n)
	}
	return w.cursor >= l.count
}

// deliverRest sends a member the batch without the events that it is excluded from.
// In the place of those that have a number it gets their position, so that it sees
// no hole.
func (s *Shard) deliverRest(q *queue, slot uint32) {
	w := &q.walk
	rest := s.batch.prepared[:0]
	for i, d := range w.events {
		switch {
		case !w.excluded(slot, i):
			rest = append(rest, d.prepared)
		case d.seq != 0:
			text := pusher.AppendPosition(nil, s.channels.at(q.local).name, d.position.Epoch, d.seq, "")
			rest = append(rest, frame.Prepare(frame.OpText, text))
		}
	}
	taken := len(rest) == 0 || s.conns.Deliver(slot, frame.NewBatch(rest, s.deflate > 0))
	s.batch.prepared = forget(rest)
	if !taken {
		s.refused(q, slot)
	}
}

// note takes an event into the account of the batch.
func (w *walk) note(d *delivery) {
	w.breaks = w.breaks || d.breaks
	if d.seq == 0 {
		w.unnumbered = true
		return
	}
	if w.first == 0 {
		w.first = d.seq
	}
	w.last = d.seq
}

// excluded tells whether a connection that the walk has come to must not get an
// event of the batch.
func (w *walk) excluded(slot uint32, event int) bool {
	for i := range w.skips {
		if k := &w.skips[i]; k.slot == slot && k.event == event {
			k.met = true
			return true
		}
	}
	return false
}

// reached is how many members an event of the batch was written to.
func (w *walk) reached(event int) int {
	n := w.visited - w.refused
	for _, k := range w.skips {
		if k.event == event && k.met {
			n--
		}
	}
	return n
}

// skipsSlot tells whether a connection is excluded from any event of the batch.
func (w *walk) skipsSlot(slot uint32) bool {
	for _, k := range w.skips {
		if k.slot == slot {
			return true
		}
	}
	return false
}

// endWalk accounts for the batch and frees it.
func (s *Shard) endWalk(q *queue) {
	w := &q.walk
	if w.batch != nil {
		w.check.end()
	}
	now := s.r.clock()
	for i, d := range w.events {
		s.backlog.sub(d)
		s.stats.sent(d, w.reached(i))
		if d.left.Add(-1) == 0 {
			s.stats.latency.observe(now - d.began)
		}
	}
	if w.last != 0 && q.local != 0 {
		s.locals.At(q.local).walked = w.last
	}
	for i, c := range q.caughtUp {
		if c.state == pullWalk {
			s.pullLater(c)
		}
		q.caughtUp[i] = nil
	}
	q.caughtUp = q.caughtUp[:0]
	clear(w.events)
	*w = walk{events: w.events[:0], skips: w.skips[:0], check: w.check}
}

// forget empties a scratch slice, so that it keeps no event alive.
func forget(p []*frame.Prepared) []*frame.Prepared {
	clear(p)
	return p[:0]
}

// walkCheck verifies in invariants builds that each member gets each batch once.
type walkCheck struct {
	waiting map[uint32]bool // members that must still get it
}

func (c *walkCheck) begin(s *Shard, l *localChannel) {
	if !invariant.On {
		return
	}
	c.waiting = make(map[uint32]bool, l.count)
	for i := range l.count {
		c.waiting[*s.arrays.at(l, i)] = true
	}
	invariant.Check(len(c.waiting) == int(l.count), "a connection is a member of one channel twice")
}

func (c *walkCheck) visit(slot uint32) {
	if invariant.On {
		invariant.Check(c.waiting[slot], "a walk reached a connection twice, or one that is no member")
		delete(c.waiting, slot)
	}
}

func (c *walkCheck) leave(slot uint32) {
	if invariant.On {
		delete(c.waiting, slot)
	}
}

func (c *walkCheck) end() {
	if invariant.On {
		invariant.Check(len(c.waiting) == 0, "a walk ended before it reached every member")
	}
}
