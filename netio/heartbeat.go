package netio

import (
	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// expire is called by the wheel for a slot whose deadline has come.
func (l *loop) expire(slot uint32) {
	r := l.records.At(slot)
	switch r.state {
	case stateHandshake:
		l.endShake(slot, r, handshakeTimeout)
		l.kill(slot, r, frame.HandshakeTimeout)
	case stateOpen:
		if r.flags&flagStream != 0 {
			l.beatStream(slot, r)
			return
		}
		l.heartbeat(slot, r)
	case stateClosing:
		l.lingered(slot, r)
	}
}

// heartbeat decides whether an open connection is alive. The deadlines move
// lazily: traffic only notes its tick, and the wheel looks again here.
func (l *loop) heartbeat(slot uint32, r *record) {
	lim := l.srv.limits()
	due := max(r.lastIn, l.resumed) + wheel.Tick(r.activity) + lim.grace
	if r.partial != 0 && r.flags&flagNoTurn == 0 {
		if since := l.partials.rows[r.partial].since; since != 0 {
			end := max(since, l.resumed) + lim.message
			if l.tick >= end {
				l.closeWith(slot, r, frame.RateLimited.With("message not complete within limits.message_time"))
				return
			}
			due = min(due, end)
		}
	}
	if r.flags&flagPinged != 0 {
		end := max(r.pinged, l.resumed) + lim.pong
		if l.tick >= end {
			l.stats.noPong.Add(1)
			l.closeWith(slot, r, frame.NoPong)
			return
		}
		due = min(max(due, end), end)
	} else if l.tick >= due {
		due = l.silent(slot, r)
	} else if acked, _, errno := l.kernel.progress(int(slot)); errno == 0 {
		r.acked = acked // the period that is looked at next begins here
	}
	if r.state == stateOpen {
		l.wheel.Set(slot, due)
	}
}

// silent handles a full period without an inbound byte. A peer whose kernel has
// acknowledged everything, and something new in this period, is there: pusher-js
// sends nothing while it receives events, so a ping would only cost both sides.
func (l *loop) silent(slot uint32, r *record) (due wheel.Tick) {
	lim := l.srv.limits()
	acked, idle, errno := l.kernel.progress(int(slot))
	alive := errno == 0 && idle && r.acked != 0 && acked != r.acked
	r.acked = acked
	if alive {
		return l.tick + wheel.Tick(r.activity) + lim.grace
	}
	r.flags |= flagPinged
	r.pinged = l.tick
	l.session.Ping(slot)
	return l.tick + lim.pong
}
