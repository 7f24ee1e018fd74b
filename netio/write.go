package netio

import (
	"syscall"

	"github.com/holdfast-edge/holdfast/frame"
)

// cork collects what is sent to the one connection whose input is being handled,
// so that several answers, or a 101 and the first frames, leave in one write.
type cork struct {
	slot uint32 // 0 = no connection is corked
	msgs int
	buf  []byte
}

// corkBytes flushes a cork early; it is also the largest buffer that is kept.
const corkBytes = 64 << 10

func (l *loop) beginCork(slot uint32) { l.cork.slot = slot }

func (l *loop) endCork(slot uint32, r *record) {
	l.flushCork(slot, r)
	l.cork.slot = 0
	if cap(l.cork.buf) > corkBytes {
		l.cork.buf = nil
	}
	if r.state == stateClosing {
		l.shutIfDrained(slot, r)
	}
}

func (l *loop) flushCork(slot uint32, r *record) {
	if len(l.cork.buf) == 0 {
		return
	}
	if r.state == stateOpen || r.state == stateClosing {
		l.transmit(slot, r, l.cork.buf, l.cork.msgs, false)
	}
	l.cork.buf, l.cork.msgs = l.cork.buf[:0], 0
}

// Send writes whole encoded frames to conn, behind everything that was sent to
// it before. frames is borrowed. A connection that is closing takes nothing.
// Only on the loop's goroutine.
func (l *loop) Send(conn uint32, frames []byte) {
	l.owner.Check()
	r := l.records.At(conn)
	if r.state == stateOpen {
		l.emit(conn, r, frames, 1)
	}
}

// Deliver is one step of a walk: the batch leaves in one write, in the encoding
// that the connection negotiated. It returns false, and has taken nothing, when
// the connection is under Hold or its queue has no room for the batch: what then
// becomes of it is the caller's decision. The batch's bytes are immutable and may
// be kept by the connection's queue. Only on the loop's goroutine.
func (l *loop) Deliver(conn uint32, b *frame.Batch) bool {
	r := l.records.At(conn)
	if r.state != stateOpen {
		return true // it is ending: nothing is owed to it
	}
	if r.flags&flagHeld != 0 {
		return false
	}
	p := encoding(r, b)
	if r.queue != 0 && l.overflows(r, l.queues.rows[r.queue], len(p), b.Messages) {
		return false
	}
	l.deliver(conn, r, p, b.Messages)
	return true
}

// Push is Deliver for a connection under Hold too. A connection whose queue has no
// room is closed as slow. Only on the loop's goroutine.
func (l *loop) Push(conn uint32, b *frame.Batch) {
	l.owner.Check()
	if r := l.records.At(conn); r.state == stateOpen {
		l.deliver(conn, r, encoding(r, b), b.Messages)
	}
}

// Empty tells whether the kernel has taken everything that conn was sent. Only on
// the loop's goroutine.
func (l *loop) Empty(conn uint32) bool {
	l.owner.Check()
	return l.records.At(conn).queue == 0
}

// Hold makes Deliver refuse a connection, and Drained be called for it, until it is
// ended. Only on the loop's goroutine.
func (l *loop) Hold(conn uint32, on bool) {
	l.owner.Check()
	r := l.records.At(conn)
	if on {
		r.flags |= flagHeld
	} else {
		r.flags &^= flagHeld
	}
}

// deliver sends bytes that may be kept.
func (l *loop) deliver(slot uint32, r *record, p []byte, msgs int) {
	if l.cork.slot == slot {
		l.flushCork(slot, r)
	}
	l.transmit(slot, r, p, msgs, true)
}

// encoding picks the bytes for a connection.
func encoding(r *record, b *frame.Batch) []byte {
	if r.flags&flagDeflate != 0 && b.Deflated != nil {
		return b.Deflated
	}
	return b.Plain
}

// emit sends borrowed bytes, through the cork if conn is the corked one.
func (l *loop) emit(slot uint32, r *record, p []byte, msgs int) {
	if l.cork.slot != slot {
		l.transmit(slot, r, p, msgs, false)
		return
	}
	l.cork.buf = append(l.cork.buf, p...)
	l.cork.msgs += msgs
	if len(l.cork.buf) >= corkBytes {
		l.flushCork(slot, r)
	}
}

// transmit makes one attempt to write when nothing is queued, and queues what
// the kernel did not take. shared bytes are kept by reference, others are copied.
func (l *loop) transmit(slot uint32, r *record, p []byte, msgs int, shared bool) {
	if r.flags&flagStream != 0 {
		r.lastIn = l.tick // a stream is silent when nothing is sent
	}
	if r.queue != 0 {
		l.enqueue(slot, r, p, msgs, shared)
		return
	}
	for {
		n, errno := l.kernel.write(int(slot), p)
		l.stats.bytesOut.Add(uint64(n))
		if p = p[n:]; len(p) == 0 {
			return
		}
		switch errno {
		case 0:
			continue // a short write: only EAGAIN promises an edge when there is room again
		case syscall.EAGAIN:
		case syscall.ENOBUFS, syscall.ENOMEM:
			// No edge will tell when the kernel has memory again: the tick tries.
			l.starved = append(l.starved, slot)
		default:
			l.kill(slot, r, frame.PeerReset)
			return
		}
		l.enqueue(slot, r, p, msgs, shared)
		return
	}
}

// Close sends a Close frame with r's code behind what was sent before and ends
// the connection: no more Message calls, Closed follows before the turn ends.
// The pusher:error that precedes codes from 4000 on is the caller's to send.
// Only on the loop's goroutine.
func (l *loop) Close(conn uint32, r frame.CloseReason) {
	l.owner.Check()
	rec := l.records.At(conn)
	if rec.state == stateOpen {
		l.startClose(conn, rec, r)
	}
}
