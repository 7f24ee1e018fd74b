package router

import (
	"errors"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// cursor is a subscriber that is behind: it recovers, or it was too slow for a
// channel with history. It pulls what it lacks out of the log, a block at a time and
// only when its socket has drained, so nothing queues for it and nothing overflows.
//
// What it may pull ends at the last event that its loop has walked
// (localChannel.walked), so pulls and walks never overlap: when it has that one, and
// no walk of the channel is under way, the next event that is walked is the next
// that it needs, and it is live.
//
// Owned by the loop. While a connection has cursors it is under Hold.
type cursor struct {
	slot    uint32
	id      uint32 // its membership
	local   uint32
	ch      *channel
	key     string // of ch in the log
	next    uint64 // the event it needs next
	own     string // events that this socket id was excluded from are not for it
	state   pulling
	block   LogBlock // that was fetched for it; nil = none, or used up
	sibling *cursor  // the connection's next cursor
}

// pulling is what a cursor waits for.
type pulling uint8

const (
	pullReady   pulling = iota // its turn, in Shard.pulls
	pullFetch                  // a block, in a fetch
	pullDrain                  // its socket
	pullWalk                   // the end of the walk under way, in queue.caughtUp
	pullDropped                // nothing: it has ended
)

// fetch is one block on its way from the disk to the cursors of a channel that need
// it.
type fetch struct {
	ch    *channel
	seq   uint64
	wait  []*cursor
	block LogBlock
	err   error
}

// fetchKey names a block of a channel: cursors that are near each other share it.
type fetchKey struct {
	ch  *channel
	run uint64
}

const (
	// runEvents is the number of events that blocks are aligned to.
	runEvents = 64
	// pullBytes bounds what one pull writes.
	pullBytes = 64 << 10
)

// fallBack makes a member a cursor that needs next, and moves the one that it has.
func (s *Shard) fallBack(slot, id, local uint32, next uint64, own string) *cursor {
	if c := s.cursors[id]; c != nil {
		c.next, c.own, c.block = next, own, nil
		return c
	}
	ch := s.channels.at(local)
	c := &cursor{slot: slot, id: id, local: local, ch: ch, key: logKey(ch.app, ch.name), next: next, own: own, sibling: s.behind[slot]}
	s.cursors[id] = c
	s.behind[slot] = c
	s.conns.Hold(slot, true)
	return c
}

// pullLater gives a cursor a turn.
func (s *Shard) pullLater(c *cursor) {
	c.state = pullReady
	s.pulls = append(s.pulls, c)
}

// dropCursor ends a cursor: its member is live, or has left.
func (s *Shard) dropCursor(c *cursor) {
	c.state = pullDropped
	delete(s.cursors, c.id)
	first := s.behind[c.slot]
	if first == c {
		if c.sibling != nil {
			s.behind[c.slot] = c.sibling
			return
		}
		delete(s.behind, c.slot)
		if s.streams[c.slot] == nil {
			s.conns.Hold(c.slot, false)
		}
		return
	}
	for first.sibling != c {
		first = first.sibling
	}
	first.sibling = c.sibling
}

// Drained is told when the kernel has taken everything that waited for a connection
// under Hold.
func (s *Shard) Drained(now int64, conn uint32) {
	s.enter()
	s.now = now
	s.pullOn(conn)
}

// pullOn gives the cursors of a connection a turn that waited for its socket, or for
// its stream to be opened.
func (s *Shard) pullOn(slot uint32) {
	for c := s.behind[slot]; c != nil; c = c.sibling {
		if c.state == pullDrain {
			s.pullLater(c)
		}
	}
}

// workPulls gives cursors their turn, round robin, until the time is until, and one
// at least. It returns their number.
func (s *Shard) workPulls(until int64) int {
	n := 0
	for ; len(s.pulls) > 0 && (n == 0 || s.r.clock() < until); n++ {
		c := s.pulls[0]
		s.pulls[0] = nil
		s.pulls = s.pulls[1:]
		if c.state == pullReady {
			s.pull(c)
		}
	}
	if len(s.pulls) == 0 {
		s.pulls = nil
	}
	return n
}

// pull writes one block's worth to a cursor.
func (s *Shard) pull(c *cursor) {
	if st := s.streams[c.slot]; !s.conns.Empty(c.slot) || (st != nil && !st.opened()) {
		c.state = pullDrain
		return
	}
	l := s.locals.At(c.local)
	if c.next > l.walked {
		if l.queue != 0 {
			if q := s.queues.at(l.queue); q.walk.batch != nil {
				c.state = pullWalk
				q.caughtUp = append(q.caughtUp, c)
				return
			}
		}
		s.dropCursor(c)
		return
	}
	block := c.block
	if c.block = nil; !holds(block, c.next) {
		block = s.r.log.Hot(c.key, c.next)
	}
	if block == nil {
		s.fetchFor(c)
		return
	}
	s.pullFrom(c, block, l.walked)
}

// holds tells whether a block has an event.
func holds(b LogBlock, seq uint64) bool {
	if b == nil {
		return false
	}
	first, last := b.Span()
	return first <= seq && seq <= last
}

// pullFrom writes what a block holds of the events up to last.
func (s *Shard) pullFrom(c *cursor, block LogBlock, last uint64) {
	first, end := block.Span()
	invariant.Check(first <= c.next && c.next <= end, "a block does not hold the event that it was asked for")
	to := min(last, end)
	frames := block.Frames(c.next, to)
	for len(frames) > pullBytes && to > c.next {
		to = c.next + (to-c.next)/2
		frames = block.Frames(c.next, to)
	}
	if c.own != "" {
		frames = s.withoutOwn(c, block, to, frames)
	}
	if st := s.streams[c.slot]; st != nil {
		frames = s.pullToStream(c, st, frames, c.next)
	}
	n := int(to - c.next + 1)
	c.next = to + 1
	s.stats.replayed.Add(uint64(n))
	x := s.sessions.at(c.slot)
	s.stats.app(s.appOf(x)).sent[sentEvent].Add(uint64(n))
	s.pushed = frame.Batch{Plain: frames, Messages: n}
	s.conns.Push(c.slot, &s.pushed)
	s.pushed = frame.Batch{}
	s.pullLater(c)
}

// withoutOwn puts positions in the place of the events that the subscriber was
// excluded from when it was there.
func (s *Shard) withoutOwn(c *cursor, block LogBlock, to uint64, frames []byte) []byte {
	some := false
	for seq := c.next; seq <= to && !some; seq++ {
		some = block.Origin(seq) == c.own
	}
	if !some {
		return frames
	}
	var mixed []byte
	for seq := c.next; seq <= to; seq++ {
		if block.Origin(seq) == c.own {
			mixed = frame.AppendFrame(mixed, frame.OpText, pusher.AppendPosition(nil, c.ch.name, s.epochOf(c.ch), seq, ""))
		} else {
			mixed = append(mixed, block.Frames(seq, seq)...)
		}
	}
	return mixed
}

// epochOf reads the epoch of an occupied channel.
func (s *Shard) epochOf(ch *channel) string {
	dir := ch.app.dir.shard(ch.name)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	return ch.at.Epoch
}

// fetchFor asks for the block that a cursor needs, once for all that need it.
func (s *Shard) fetchFor(c *cursor) {
	c.state = pullFetch
	key := fetchKey{c.ch, (c.next - 1) / runEvents}
	if f := s.fetches[key]; f != nil {
		f.wait = append(f.wait, c)
		return
	}
	f := &fetch{ch: c.ch, seq: c.next, wait: []*cursor{c}}
	s.fetches[key] = f
	logged, loop := c.key, s.id
	s.r.jobs.run(func() {
		f.block, f.err = s.r.log.Block(logged, f.seq)
		s.r.loops.MustPost(loop, opFetched, key.run, f)
	})
}

// fetched hands a block to those who waited for it. Each keeps it until its turn: it
// is in memory now, but memory is a cache, and its socket may be busy with another of
// its channels.
func (s *Shard) fetched(f *fetch, run uint64) {
	delete(s.fetches, fetchKey{f.ch, run})
	for _, c := range f.wait {
		switch {
		case c.state != pullFetch:
		case errors.Is(f.err, ErrGone):
			s.closeWith(c.slot, s.sessions.at(c.slot), frame.Slow)
		case f.err != nil:
			s.closeWith(c.slot, s.sessions.at(c.slot), frame.Slow.With("the log cannot be read: "+frame.Slow.Text))
		default:
			c.block = f.block
			s.pullLater(c)
		}
	}
}

// refused is called for a member that did not take the batch of a walk: it is a
// cursor, or too much waits for it.
func (s *Shard) refused(q *queue, slot uint32) {
	w := &q.walk
	x := s.sessions.at(slot)
	if x.flags&flagStream != 0 {
		s.toStream(q, slot, x)
		return
	}
	w.refused++
	id, _ := s.find(x, q.local)
	c := s.cursors[id]
	switch {
	case c == nil && w.first == 0:
		s.pushRest(w, slot, func(int) bool { return true }) // nothing of it is in the log
		return
	case w.breaks:
		s.closeWith(slot, x, frame.Slow) // what it lacks cannot be had any more
		return
	case c == nil:
		var own [socketIDBytes]byte
		c = s.fallBack(slot, id, q.local, w.first, string(s.socketID(own[:0], slot, x)))
		s.stats.fellBack.Add(1)
		s.pullLater(c)
	}
	if w.unnumbered {
		s.pushRest(w, slot, func(event int) bool { return w.events[event].seq == 0 })
	}
}

// pushRest sends a member those events of the batch that it is not excluded from.
func (s *Shard) pushRest(w *walk, slot uint32, wanted func(event int) bool) {
	rest := s.batch.prepared[:0]
	for i, d := range w.events {
		if wanted(i) && !w.excluded(slot, i) {
			rest = append(rest, d.prepared)
		}
	}
	if len(rest) > 0 {
		s.conns.Push(slot, frame.NewBatch(rest, s.deflate > 0))
	}
	s.batch.prepared = forget(rest)
}
