package wheel

import "github.com/holdfast-edge/holdfast/tuning/offheap"

// Tick is seconds since the process started. It wraps after 136 years.
type Tick uint32

// buckets is a power of two above the longest usual deadline (activity timeout
// plus grace, 135 s), so that a bucket is walked about once for each of its
// entries. A longer deadline stays in its bucket for several turns.
const buckets = 256

// firing marks a node that Advance has taken out of its bucket.
const firing = buckets

// Node is one slot's place in a wheel; the zero value is unlinked. 16 bytes.
type Node struct {
	next, prev uint32 // slot numbers in the same list; 0 = end
	due        Tick
	list       uint16 // 1 + index of the list that holds the node; 0 = unlinked
	_          uint16
}

// Wheel is the timer wheel of one loop.
type Wheel struct {
	// Immutable after New.
	nodes *offheap.Table[Node]

	// Owned by the loop.
	heads   [buckets + 1]uint32 // first slot of each bucket; the last is the firing list
	now     Tick
	entries int
}

// New returns an empty wheel that stands at tick now and links through nodes.
func New(nodes *offheap.Table[Node], now Tick) *Wheel {
	return &Wheel{nodes: nodes, now: now}
}

// Set gives slot the deadline due, in place of any that it had. A due tick that
// is not in the future fires at the next Advance.
func (w *Wheel) Set(slot uint32, due Tick) {
	if slot == 0 {
		panic("wheel: slot 0 has no deadline")
	}
	n := w.nodes.At(slot)
	if n.list != 0 {
		w.unlink(slot, n)
	}
	if due <= w.now {
		due = w.now + 1
	}
	n.due = due
	w.link(slot, n, int(due%buckets))
}

// Cancel takes slot's deadline away; it is a no-op when there is none.
func (w *Wheel) Cancel(slot uint32) {
	if n := w.nodes.At(slot); n.list != 0 {
		w.unlink(slot, n)
	}
}

// Due returns slot's deadline and whether it has one.
func (w *Wheel) Due(slot uint32) (Tick, bool) {
	n := w.nodes.At(slot)
	return n.due, n.list != 0
}

// Len is the number of slots with a deadline.
func (w *Wheel) Len() int { return w.entries }

// Now is the tick of the last Advance.
func (w *Wheel) Now() Tick { return w.now }

// Advance moves the wheel to tick now and calls expire once for each slot whose
// deadline has come, after unlinking it. expire may Set and Cancel any slot,
// its own included. A tick that is not ahead does nothing.
func (w *Wheel) Advance(now Tick, expire func(slot uint32)) {
	if now <= w.now {
		return
	}
	turns := now - w.now
	if turns > buckets {
		turns = buckets // every bucket once is enough, however long the pause was
	}
	for i := Tick(0); i < turns; i++ {
		w.collect(int((now-turns+1+i)%buckets), now)
	}
	// From here on a Set that is not in the future of now fires at the next call,
	// so the firing list only shrinks.
	w.now = now
	for slot := w.heads[firing]; slot != 0; slot = w.heads[firing] {
		w.unlink(slot, w.nodes.At(slot))
		expire(slot)
	}
}

// collect moves the due nodes of one bucket to the firing list.
func (w *Wheel) collect(bucket int, now Tick) {
	for slot := w.heads[bucket]; slot != 0; {
		n := w.nodes.At(slot)
		next := n.next
		if n.due <= now {
			w.unlink(slot, n)
			w.link(slot, n, firing)
		}
		slot = next
	}
}

func (w *Wheel) link(slot uint32, n *Node, list int) {
	head := w.heads[list]
	n.next, n.prev, n.list = head, 0, uint16(list)+1
	if head != 0 {
		w.nodes.At(head).prev = slot
	}
	w.heads[list] = slot
	w.entries++
}

func (w *Wheel) unlink(slot uint32, n *Node) {
	if n.prev != 0 {
		w.nodes.At(n.prev).next = n.next
	} else {
		w.heads[n.list-1] = n.next
	}
	if n.next != 0 {
		w.nodes.At(n.next).prev = n.prev
	}
	n.next, n.prev, n.list = 0, 0, 0
	w.entries--
}
