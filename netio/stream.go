package netio

import (
	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// A stream is a plain HTTP request that the session answers itself: an event stream
// that is open for hours, or a poll that waits. It stays in the loop like a
// WebSocket, with a record and no goroutine. Nothing is read while it is open: what
// the client sends next is its next request and stays in the kernel.

// streamIdle is how long a conversation may wait for its next request.
const streamIdle wheel.Tick = 30

// takesStream tells whether a request is the session's to answer.
func (s *Server) takesStream(h *frame.Head) bool {
	if s.cfg.Streams == nil || h.Upgrade || h.Chunked || h.ContentLength > 0 || string(h.Method) != "GET" {
		return false
	}
	path, ok := s.stripPrefix(h.Path)
	return ok && s.cfg.Streams(path)
}

// openStream hands the request of a socket whose head was consumed to the session.
func (l *loop) openStream(slot uint32, r *record, h *frame.Head, remote remoteAddr) {
	l.endShake(slot, r, handshakeHTTP)
	l.moveState(r, stateOpen)
	r.lastIn = l.tick
	r.flags |= flagStream | flagHeld | flagOpened
	l.stats.opened[r.listener].Add(1)
	l.remotes[slot] = remote
	path, _ := l.srv.stripPrefix(h.Path)
	l.beginCork(slot)
	period, events := l.session.OpenStream(l.now, &frame.StreamRequest{
		Path: path, RawQuery: h.RawQuery, Origin: h.Origin, LastEventID: h.LastEventID, IfNoneMatch: h.IfNoneMatch,
		Remote: remote.AddrPort, Loop: l.id, Slot: slot, Gen: r.gen, KeepAlive: h.KeepAlive,
	})
	if events {
		r.flags |= flagEvents
	}
	l.endCork(slot, r)
	if r.state != stateOpen {
		return
	}
	if r.flags&flagHalfShut != 0 {
		l.kill(slot, r, frame.PeerClosed)
		return
	}
	r.activity = uint16(period)
	if period > 0 {
		l.wheel.Set(slot, l.tick+wheel.Tick(period))
	}
}

// streamEvent handles what epoll said of an open stream.
func (l *loop) streamEvent(slot uint32, r *record, events uint32) {
	if events&unix.EPOLLOUT != 0 && r.queue != 0 {
		l.flush(slot, r)
	}
	if r.state == stateOpen && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.kill(slot, r, frame.PeerClosed)
	}
}

// beatStream tells the session that a stream was silent for its period. A peer that
// has acknowledged nothing since the last time, and not all of what it was sent a
// period ago, is gone.
func (l *loop) beatStream(slot uint32, r *record) {
	due := r.lastIn + wheel.Tick(r.activity)
	if l.tick < due {
		l.wheel.Set(slot, due)
		return
	}
	acked, idle, errno := l.kernel.progress(int(slot))
	if errno == 0 && !idle && acked == r.acked {
		l.stats.noPong.Add(1)
		l.kill(slot, r, frame.NoPong)
		return
	}
	r.acked = acked
	r.lastIn = l.tick
	l.session.Ping(slot)
	if r.state == stateOpen {
		l.wheel.Set(slot, l.tick+wheel.Tick(r.activity))
	}
}

// Finish ends a stream whose answer has been sent. With keep the client may send its
// next request on the connection; without, or when the answer did not leave at once,
// it is closed once it has left. Closed follows before the turn ends. Only on the
// loop's goroutine.
func (l *loop) Finish(conn uint32, keep bool) {
	l.owner.Check()
	r := l.records.At(conn)
	if r.state != stateOpen || r.flags&flagStream == 0 || r.flags&flagFinished != 0 {
		return
	}
	r.flags |= flagFinished
	if keep {
		r.flags |= flagKeep
	}
	l.ending = append(l.ending, ending{conn, streamDone})
}

// streamDone is the end of an answered request; no Close frame carries it.
var streamDone = frame.CloseReason{Code: 1000, Text: "answered", Label: "answered"}

// endStream goes on with a finished stream of which the session knows nothing more.
func (l *loop) endStream(slot uint32, r *record) {
	if r.flags&flagKeep == 0 || r.flags&flagHalfShut != 0 || r.queue != 0 || !l.srv.accepting.Load() {
		l.enterClosing(slot, r, streamDone)
		l.shutIfDrained(slot, r)
		return
	}
	remote := l.remotes[slot]
	delete(l.remotes, slot)
	l.wheel.Cancel(slot)
	l.moveState(r, stateHandshake)
	*r = record{gen: l.nextGen(), loop: uint16(l.id), state: stateHandshake, listener: r.listener, lastIn: l.tick}
	l.shaking[slot] = newcomer{fd: int(slot), remote: remote, listener: r.listener, settled: true}
	l.wheel.Set(slot, l.tick+streamIdle)
	l.readLater(slot, r) // the edge of a request that is there already is past
}

// sayStreamClose is sayClose for a stream: an event stream is told why, and ends.
func (l *loop) sayStreamClose(slot uint32, r *record, farewell []byte) {
	if farewell != nil && r.flags&flagEvents != 0 {
		payload, _ := frame.ServerPayload(farewell)
		l.emit(slot, r, frame.AppendEventStream(nil, payload), 1)
	}
	if r.state == stateClosing && l.cork.slot != slot {
		l.shutIfDrained(slot, r)
	}
}
