package netio

import (
	"syscall"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

const (
	// lingerTicks is how long a socket may take to end once our Close frame is with
	// the kernel, and how long a peer may take nothing of what is queued before that.
	// Closing a socket with unread input sends RST, which makes the peer's kernel
	// throw away a Close frame that it has not read yet.
	lingerTicks wheel.Tick = 2
	// lingerMost bounds the delivery of what was queued before the Close frame, from
	// the start of closing: a trickle must not hold a socket for ever.
	lingerMost wheel.Tick = 30
)

// ending is one connection whose handler must be told, or whose socket must be
// closed, before the turn ends.
type ending struct {
	slot   uint32
	reason frame.CloseReason
}

// closeWith ends an open connection for a reason of the transport or of the
// handler's verdict, with the pusher:error that codes from 4000 on ask for.
func (l *loop) closeWith(slot uint32, r *record, reason frame.CloseReason) {
	if r.state != stateOpen {
		return
	}
	if reason.Code >= 4000 && reason.Label != frame.PeerClosed.Label {
		l.startCloseError(slot, r, reason)
		return
	}
	l.startClose(slot, r, reason)
}

// startCloseError is startClose behind a pusher:error of the same code.
func (l *loop) startCloseError(slot uint32, r *record, reason frame.CloseReason) {
	l.enterClosing(slot, r, reason)
	if r.flags&flagStream != 0 {
		l.sayStreamClose(slot, r, l.srv.cfg.Farewell(reason))
		return
	}
	if r.flags&flagEcho == 0 {
		l.emit(slot, r, l.srv.cfg.Farewell(reason), 1)
	}
	l.sayClose(slot, r, reason)
}

func (l *loop) startClose(slot uint32, r *record, reason frame.CloseReason) {
	l.enterClosing(slot, r, reason)
	if r.flags&flagStream != 0 {
		l.sayStreamClose(slot, r, nil)
		return
	}
	l.sayClose(slot, r, reason)
}

// sayClose queues the Close frame and shuts the sending side once it is out.
func (l *loop) sayClose(slot uint32, r *record, reason frame.CloseReason) {
	if r.state != stateClosing {
		return // the farewell's write found the socket dead
	}
	if reason.Code == codeNone {
		l.emit(slot, r, emptyClose, 1)
	} else {
		l.emit(slot, r, frame.AppendClose(nil, reason), 1)
	}
	if l.cork.slot != slot {
		l.shutIfDrained(slot, r)
	}
}

// codeNone is what a Close frame without payload stands for (RFC 6455 section
// 7.1.5); it is never sent, so its answer is empty too.
const codeNone = 1005

var emptyClose = frame.AppendFrame(nil, frame.OpClose, nil)

// enterClosing moves the record on and lets the handler be told.
func (l *loop) enterClosing(slot uint32, r *record, reason frame.CloseReason) {
	l.moveState(r, stateClosing)
	r.flags &^= flagPaused | flagPinged | flagNoTurn
	l.dropInput(r)
	l.wheel.Set(slot, l.tick+lingerTicks)
	r.pinged, r.acked = l.tick, 0
	if r.queue != 0 {
		r.acked = l.taken(slot, r)
	}
	l.ending = append(l.ending, ending{slot, reason})
}

// lingered is the deadline of a closing connection. A peer that still takes what
// was queued before the Close frame, be it slowly, gets it whole, and the frame.
func (l *loop) lingered(slot uint32, r *record) {
	if r.queue != 0 && l.tick-r.pinged < lingerMost {
		if taken := l.taken(slot, r); taken != r.acked {
			r.acked = taken
			l.wheel.Set(slot, l.tick+lingerTicks)
			return
		}
	}
	l.kill(slot, r, frame.PeerReset)
}

// taken is a number that changes when the peer of a queue takes from it: what its
// kernel has acknowledged, or, where that is not known, what is left.
func (l *loop) taken(slot uint32, r *record) uint32 {
	if acked, _, errno := l.kernel.progress(int(slot)); errno == 0 {
		return acked
	}
	return uint32(l.queues.rows[r.queue].bytes)
}

// shutIfDrained ends our half once everything is with the kernel. The peer's
// half is read to its end, at most lingerTicks.
func (l *loop) shutIfDrained(slot uint32, r *record) {
	if r.state != stateClosing || r.queue != 0 || r.flags&flagShut != 0 {
		return
	}
	r.flags |= flagShut
	l.wheel.Set(slot, l.tick+lingerTicks)
	if l.kernel.shutdown(int(slot)) != 0 {
		l.kill(slot, r, frame.PeerReset)
		return
	}
	l.drain(slot, r)
}

// drain throws input away until the peer's FIN.
func (l *loop) drain(slot uint32, r *record) {
	for range readsPerWake {
		n, errno := l.kernel.read(int(slot), l.scratch[:readBytes])
		switch {
		case errno == syscall.EAGAIN:
			return
		case errno != 0:
			l.kill(slot, r, frame.PeerReset)
			return
		case n == 0:
			if r.queue == 0 {
				l.kill(slot, r, frame.PeerClosed)
			}
			return // half closed, still reading: the queue may yet leave
		case n < readBytes && r.flags&flagHalfShut == 0:
			return
		}
	}
	l.readLater(slot, r)
}

// kill ends a socket without a word: it failed, or both sides are done. The
// descriptor is closed in settle, after the handler was told.
func (l *loop) kill(slot uint32, r *record, reason frame.CloseReason) {
	if r.state == stateDead || r.state == stateFree {
		return
	}
	if r.state == stateHandshake {
		if n, ok := l.shaking[slot]; ok {
			if !n.settled {
				l.srv.admission.settled(n.remote.Addr())
			}
			delete(l.shaking, slot)
		}
	}
	l.moveState(r, stateDead)
	l.ending = append(l.ending, ending{slot, reason})
}

// settle tells handlers and closes descriptors. It runs between the steps of a
// turn, never inside a callback, so Closed cannot surprise a walk.
func (l *loop) settle() {
	for i := 0; i < len(l.ending); i++ {
		e := l.ending[i]
		r := l.records.At(e.slot)
		if r.state == stateFree {
			continue
		}
		if r.flags&flagOpened != 0 {
			r.flags &^= flagOpened
			l.stats.closed(e.reason)
			l.session.Closed(l.now, e.slot, e.reason)
		}
		if r.state == stateOpen && r.flags&flagFinished != 0 {
			l.endStream(e.slot, r)
			continue
		}
		if r.state == stateDead {
			l.release(e.slot, r)
			_ = l.kernel.close(int(e.slot))
			l.srv.admission.left()
		}
	}
	l.ending = l.ending[:0]
}

// release frees the record; the descriptor lives on or is closed by the caller.
func (l *loop) release(slot uint32, r *record) {
	l.dropInput(r)
	if r.queue != 0 {
		l.stats.queued(-l.queues.rows[r.queue].bytes)
		l.queues.release(r.queue)
	}
	if r.flags&flagStream != 0 {
		delete(l.remotes, slot)
	}
	l.wheel.Cancel(slot)
	l.moveState(r, stateFree)
	*r = record{}
}

// dropInput forgets a half-read message.
func (l *loop) dropInput(r *record) {
	if r.partial == 0 {
		return
	}
	p := l.partials.rows[r.partial]
	if p.state != nil {
		l.parser.Release(p.state)
	}
	l.turnOver(p)
	l.partials.release(r.partial)
	r.partial = 0
}

func (l *loop) moveState(r *record, s connState) {
	l.stats.state(r.state).Add(-1)
	r.state = s
	l.stats.state(s).Add(1)
}
