package netio

import (
	"slices"
	"syscall"
	"unsafe"

	"github.com/holdfast-edge/holdfast/frame"
)

// outQueue holds what the kernel did not take for one connection. Only a
// backpressured connection has one.
type outQueue struct {
	segments []segment
	bytes    int
	msgs     int
}

// segment is a run of bytes that leaves in order; msgs counts the messages that
// end in it.
type segment struct {
	p    []byte
	msgs int
}

// maxIovecs is how many segments one writev takes.
const maxIovecs = 64

// queueTable numbers the queues of a loop; number 0 means none.
type queueTable struct {
	rows []*outQueue
	free []uint32
}

func (t *queueTable) alloc() (uint32, *outQueue) {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i, t.rows[i]
	}
	if len(t.rows) == 0 {
		t.rows = append(t.rows, nil)
	}
	q := &outQueue{}
	t.rows = append(t.rows, q)
	return uint32(len(t.rows) - 1), q
}

func (t *queueTable) release(i uint32) {
	*t.rows[i] = outQueue{}
	t.free = append(t.free, i)
	if len(t.free) == len(t.rows)-1 { // the last one out gives the burst's memory back
		t.rows, t.free = nil, nil
	}
}

// enqueue adds p behind what waits. The bound counts what the kernel refused: a
// message that meets an empty queue is always taken whole, so one large answer
// (a long member list) never ends a connection that reads.
func (l *loop) enqueue(slot uint32, r *record, p []byte, msgs int, shared bool) {
	var q *outQueue
	if r.queue == 0 {
		r.queue, q = l.queues.alloc()
	} else {
		q = l.queues.rows[r.queue]
		if l.overflows(r, q, len(p), msgs) {
			l.stats.slow.Add(1)
			l.startCloseError(slot, r, frame.Slow)
			return
		}
	}
	if !shared {
		p = slices.Clone(p)
	}
	q.segments = append(q.segments, segment{p: p, msgs: msgs})
	q.bytes += len(p)
	q.msgs += msgs
	l.stats.queued(len(p))
}

func (l *loop) overflows(r *record, q *outQueue, n, msgs int) bool {
	if r.state != stateOpen {
		return false // the farewell itself: a few hundred bytes, once
	}
	if r.flags&flagEcho != 0 {
		return q.bytes+n > echoQueueBytes
	}
	lim := l.srv.limits()
	return q.bytes+n > lim.queueBytes || q.msgs+msgs > lim.queueMessages
}

// flush writes what waits until the kernel refuses again or nothing is left.
func (l *loop) flush(slot uint32, r *record) {
	q := l.queues.rows[r.queue]
	for len(q.segments) > 0 {
		n, errno := l.writeSegments(slot, q)
		switch errno {
		case 0:
		case syscall.EAGAIN:
			return
		case syscall.ENOBUFS, syscall.ENOMEM:
			l.starved = append(l.starved, slot)
			return
		default:
			l.kill(slot, r, frame.PeerReset)
			return
		}
		l.stats.bytesOut.Add(uint64(n))
		l.stats.queued(-n)
		q.advance(n)
	}
	l.queues.release(r.queue)
	r.queue = 0
	switch {
	case r.state == stateClosing:
		l.shutIfDrained(slot, r)
	case r.state == stateOpen && r.flags&flagHeld != 0:
		l.session.Drained(l.now, slot)
		l.working = true // it has more to send now: no sleep before the next Work
	}
}

func (l *loop) writeSegments(slot uint32, q *outQueue) (int, syscall.Errno) {
	if len(q.segments) == 1 {
		return l.kernel.write(int(slot), q.segments[0].p)
	}
	l.iov = l.iov[:0]
	for i := range q.segments[:min(len(q.segments), maxIovecs)] {
		p := q.segments[i].p
		l.iov = append(l.iov, syscall.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))})
	}
	n, errno := l.kernel.writev(int(slot), l.iov)
	clear(l.iov)
	return n, errno
}

// advance takes n written bytes off the front.
func (q *outQueue) advance(n int) {
	q.bytes -= n
	done := 0
	for done < len(q.segments) && n >= len(q.segments[done].p) {
		n -= len(q.segments[done].p)
		q.msgs -= q.segments[done].msgs
		q.segments[done] = segment{}
		done++
	}
	q.segments = q.segments[done:]
	if n > 0 {
		q.segments[0].p = q.segments[0].p[n:]
	}
}

// retryQueues tries the queues again that failed for want of kernel memory.
func (l *loop) retryQueues() {
	list := l.starved
	l.starved = nil
	for _, slot := range list {
		r := l.records.At(slot)
		if int(r.loop) == l.id && r.queue != 0 && (r.state == stateOpen || r.state == stateClosing) {
			l.flush(slot, r)
		}
	}
}
