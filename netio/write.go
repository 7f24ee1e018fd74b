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
// that the connection negotiated. The batch's bytes are immutable and may be
// kept by the connection's queue. Only on the loop's goroutine.
func (l *loop) Deliver(conn uint32, b *frame.Batch) {
	r := l.records.At(conn)
	if r.state != stateOpen {
		return
	}
	p := b.Plain
	if r.flags&flagDeflate != 0 && b.Deflated != nil {
		p = b.Deflated
	}
	if l.cork.slot == conn {
		l.flushCork(conn, r)
	}
	l.transmit(conn, r, p, b.Messages, true)
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
