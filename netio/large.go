package netio

import "github.com/holdfast-edge/holdfast/netio/wheel"

const (
	// largeBytes is from where on a message needs a turn. Buffers up to here are pooled.
	largeBytes = 64 << 10
	// largeBudget is how many bytes of large messages a loop has at a time: those that
	// it puts together, and what receivers have not taken yet.
	largeBudget = 16 << 20
	// largeWait is the longest that a message waits, or a tick less. Unit: ticks.
	largeWait = 5
)

// largeTurns keeps many large messages of one moment from being put together a piece
// of each after the other, which takes the memory of all of them. Those who have a turn
// are read to the end of their message; of the others the kernel holds what TCP lets
// their senders send. It is no limit, and no sender or receiver keeps others from their
// turns by being slow: after two ticks it does not count any more.
type largeTurns struct {
	// Owned by the loop.
	booked  [2]int // bytes announced by the messages whose turn began in an even, an odd tick: the last two
	stuck   int    // bytes queued for sockets throughout the tick before this one
	least   int    // bytes queued at the least since the tick began
	waiting []waiter
}

// waiter is a connection that is inside a large message and is not read.
type waiter struct {
	slot, gen uint32
	since     wheel.Tick
}

// turn is the part of a partial that is a message's turn. The zero value is none.
type turn struct {
	bytes    int // announced
	began    wheel.Tick
	received int // of the message, when it was looked at last
}

// takeTurn books the message that a connection is inside, after each read of it, or
// lets the connection wait.
func (l *loop) takeTurn(slot uint32, r *record, p *partial) {
	announced, received := p.state.Message()
	n := int(min(announced, largeBudget))
	next := received < p.turn.received
	if n == p.turn.bytes && !next {
		p.turn.received = received
		return
	}
	had := p.turn.bytes > 0 && !next
	l.turnOver(p)
	switch {
	case n <= largeBytes:
	case had || len(l.large.waiting) == 0 && l.hasRoom(n):
		l.book(p, n, received)
	default:
		r.flags |= flagNoTurn
		l.large.waiting = append(l.large.waiting, waiter{slot: slot, gen: r.gen, since: l.tick})
	}
}

func (l *loop) book(p *partial, n, received int) {
	l.large.booked[l.tick&1] += n
	p.turn = turn{bytes: n, began: l.tick, received: received}
}

// turnOver ends the turn of a connection whose message is whole, or that ends.
func (l *loop) turnOver(p *partial) {
	if l.tick-p.turn.began < 2 {
		l.large.booked[p.turn.began&1] -= p.turn.bytes
	}
	p.turn = turn{}
}

// hasRoom tells whether a message of n bytes may be put together now.
func (l *loop) hasRoom(n int) bool {
	t := &l.large
	queued := int(l.stats.queuedNow.Load())
	t.least = min(t.least, queued)
	under := t.booked[0] + t.booked[1] + max(queued-t.stuck, 0)
	return under == 0 || under+n <= largeBudget
}

// nextTurns lets those go on for whom there is room.
func (l *loop) nextTurns() {
	t := &l.large
	done := 0
	for _, w := range t.waiting {
		r := l.records.At(w.slot)
		if int(r.loop) == l.id && r.gen == w.gen && r.flags&flagNoTurn != 0 {
			p := l.partials.rows[r.partial]
			announced, received := p.state.Message()
			n := int(min(announced, largeBudget))
			if !l.hasRoom(n) && l.tick-w.since < largeWait {
				break
			}
			l.book(p, n, received)
			if p.since != 0 {
				l.startMessage(w.slot, p) // the time in which it was not read is not the peer's
			}
			r.flags &^= flagNoTurn
			l.readLater(w.slot, r)
		}
		done++
	}
	t.waiting = t.waiting[done:]
	if len(t.waiting) == 0 {
		t.waiting = nil
	}
}

// newTick is told of each tick, with the bytes that are queued for sockets.
func (t *largeTurns) newTick(tick, before wheel.Tick, queued int) {
	t.stuck, t.least = min(t.least, queued), queued
	t.booked[tick&1] = 0
	if tick-before > 1 {
		t.booked = [2]int{}
	}
}
