package netio

import (
	"errors"
	"syscall"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// partial is what a connection keeps while it is inside a message, or while its
// reading is paused. Busy connections have one; idle ones do not.
type partial struct {
	state *frame.State // bytes inside a frame or message; nil = none
	rest  []byte       // input behind a pause, not yet parsed
	since wheel.Tick   // when the open message began; 0 = no message open
	turn  turn         // of a large message
}

// partialTable numbers the partials of a loop; number 0 means none.
type partialTable struct {
	rows []*partial
	free []uint32
}

func (t *partialTable) alloc() (uint32, *partial) {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i, t.rows[i]
	}
	if len(t.rows) == 0 {
		t.rows = append(t.rows, nil)
	}
	p := &partial{}
	t.rows = append(t.rows, p)
	return uint32(len(t.rows) - 1), p
}

func (t *partialTable) release(i uint32) {
	*t.rows[i] = partial{}
	t.free = append(t.free, i)
	if len(t.free) == len(t.rows)-1 { // the last one out gives the burst's memory back
		t.rows, t.free = nil, nil
	}
}

// readable reads what the socket has, once and then until readSlice is over; the rest
// waits for the next turn, behind the other sockets.
func (l *loop) readable(slot uint32, r *record) {
	if r.flags&(flagPaused|flagNoTurn) != 0 {
		return // the edge is not lost: Resume reads, or whoever gives the turn
	}
	l.beginCork(slot)
	if l.parseRest(slot, r) {
		l.readLoop(slot, r)
	}
	l.endCork(slot, r)
}

func (l *loop) readLoop(slot uint32, r *record) {
	for range readsPerWake {
		n, errno := l.kernel.read(int(slot), l.scratch[:readBytes])
		switch {
		case errno == syscall.EAGAIN:
			return
		case errno != 0:
			l.kill(slot, r, frame.PeerReset)
			return
		case n == 0:
			// Everything that came before the FIN has been handled: read to EOF first.
			l.kill(slot, r, frame.PeerClosed)
			return
		}
		r.lastIn = l.tick
		r.flags &^= flagPinged
		l.stats.bytesIn.Add(uint64(n))
		l.parse(slot, r, l.scratch[:n])
		if r.state != stateOpen || r.flags&(flagPaused|flagNoTurn) != 0 {
			return
		}
		if n < readBytes && r.flags&flagHalfShut == 0 {
			// A short read means that the queue is empty (epoll(7)); the next byte, or
			// the FIN, is a new edge.
			return
		}
		if l.srv.clock.now()-l.looked >= int64(readSlice) {
			break
		}
	}
	l.readLater(slot, r)
}

func (l *loop) readLater(slot uint32, r *record) {
	if r.flags&flagReadAgain == 0 {
		r.flags |= flagReadAgain
		l.again = append(l.again, slot)
	}
}

// parse feeds input to the frame parser and keeps what the connection must keep.
func (l *loop) parse(slot uint32, r *record, p []byte) {
	var st *frame.State
	if r.partial != 0 {
		// The parser holds the state alone while it runs: a callback that closes the
		// connection frees the row, and must not free the state under the parser.
		p := l.partials.rows[r.partial]
		st, p.state = p.state, nil
	}
	lim := l.srv.limits().frame
	if r.flags&flagEcho != 0 {
		lim = echoLimits
	}
	l.sink = sink{loop: l, slot: slot, record: r}
	n, next, err := l.parser.Parse(st, r.flags&flagDeflate != 0, lim, p, &l.sink)
	if next == nil && err == nil && r.partial == 0 {
		return // the common case: whole frames
	}
	l.keep(slot, r, next)
	if err == nil || r.state != stateOpen {
		return
	}
	if errors.Is(err, frame.ErrPause) {
		l.pause(slot, r, p[n:])
		return
	}
	var reason frame.CloseReason
	if !errors.As(err, &reason) {
		reason = frame.Internal
	}
	l.closeWith(slot, r, reason)
}

// keep stores the parser's state, and starts or stops the clock of the message.
func (l *loop) keep(slot uint32, r *record, st *frame.State) {
	if st == nil {
		if r.partial == 0 {
			return
		}
		p := l.partials.rows[r.partial]
		p.state, p.since = nil, 0
		l.turnOver(p)
		l.dropPartial(r, p)
		return
	}
	if r.state != stateOpen {
		l.parser.Release(st)
		return
	}
	if r.partial == 0 {
		r.partial, _ = l.partials.alloc()
	}
	p := l.partials.rows[r.partial]
	p.state = st
	l.takeTurn(slot, r, p)
	switch {
	case !st.MessageOpen():
		p.since = 0
	case p.since == 0 && r.flags&flagEcho == 0:
		l.startMessage(slot, p)
	}
}

// startMessage starts the clock of a message.
func (l *loop) startMessage(slot uint32, p *partial) {
	p.since = l.tick
	if due, ok := l.wheel.Due(slot); !ok || due > l.tick+l.srv.limits().message {
		l.wheel.Set(slot, l.tick+l.srv.limits().message)
	}
}

// dropPartial frees the row once it holds nothing.
func (l *loop) dropPartial(r *record, p *partial) {
	if p.state == nil && len(p.rest) == 0 {
		l.partials.release(r.partial)
		r.partial = 0
	}
}

// pause stops reading until Resume; rest is the input behind the pausing frame.
func (l *loop) pause(slot uint32, r *record, rest []byte) {
	r.flags |= flagPaused
	if len(rest) == 0 {
		return
	}
	if r.partial == 0 {
		r.partial, _ = l.partials.alloc()
	}
	p := l.partials.rows[r.partial]
	p.rest = append([]byte(nil), rest...)
}

// Resume ends a pause. The kept input is parsed, and the socket read again, later
// in the turn or in the next one, never inside this call. Only on the loop's
// goroutine; a no-op for a connection that is not paused.
func (l *loop) Resume(conn uint32) {
	l.owner.Check()
	r := l.records.At(conn)
	if r.state != stateOpen || r.flags&flagPaused == 0 {
		return
	}
	r.flags &^= flagPaused
	l.readLater(conn, r) // the socket's edge may be long past
}

// parseRest parses what a pause left over; false means that the connection is
// paused again or no longer open.
func (l *loop) parseRest(slot uint32, r *record) bool {
	if r.partial == 0 {
		return true
	}
	p := l.partials.rows[r.partial]
	rest := p.rest
	if len(rest) == 0 {
		return true
	}
	p.rest = nil
	l.parse(slot, r, rest)
	if r.partial != 0 && r.flags&flagPaused == 0 {
		l.dropPartial(r, l.partials.rows[r.partial])
	}
	return r.state == stateOpen && r.flags&(flagPaused|flagNoTurn) == 0
}

// sink receives the parser's events for one connection. One lives in the loop
// and is set anew for each call, so that parsing allocates nothing.
type sink struct {
	loop   *loop
	slot   uint32
	record *record
}

func (s *sink) Message(op frame.Opcode, p []byte) error {
	if s.record.flags&flagEcho != 0 {
		s.loop.echo(s.slot, s.record, op, p)
		return s.verdict(nil)
	}
	return s.verdict(s.loop.session.Message(s.loop.now, s.slot, op, p))
}

// errStopped ends parsing of a connection that is no longer open.
var errStopped = errors.New("netio: the connection was closed while its input was handled")

// verdict stops the parser when what it reported has ended the connection.
func (s *sink) verdict(err error) error {
	if err == nil && s.record.state != stateOpen {
		return errStopped
	}
	return err
}

func (s *sink) Fragment() error {
	if s.record.flags&flagEcho != 0 {
		return nil
	}
	return s.verdict(s.loop.session.Frame(s.loop.now, s.slot, false))
}

func (s *sink) Control(op frame.Opcode, p []byte) error {
	l, r := s.loop, s.record
	if r.flags&flagEcho == 0 {
		if err := l.session.Frame(l.now, s.slot, true); err != nil {
			return err
		}
	}
	switch op {
	case frame.OpPing:
		l.pong(s.slot, r, p)
	case frame.OpClose:
		return l.peerClose(p)
	}
	return s.verdict(nil)
}

// pong answers a protocol-level ping (RFC 6455 section 5.5.3). While output is
// queued nothing is added: a later ping is answered once the peer reads again,
// which the RFC allows, and a ping flood cannot fill the queue.
func (l *loop) pong(slot uint32, r *record, p []byte) {
	if r.queue != 0 && r.flags&flagEcho == 0 {
		return
	}
	l.pongBuf = frame.AppendFrame(l.pongBuf[:0], frame.OpPong, p)
	l.emit(slot, r, l.pongBuf, 1)
}

// peerClose turns the peer's Close frame into the reason of ours, which repeats
// its code (RFC 6455 section 5.5.1).
func (l *loop) peerClose(p []byte) error {
	code, text, ok := frame.CloseCode(p)
	if !ok {
		return frame.ProtocolError
	}
	r := frame.PeerClosed
	r.Code, r.Text = code, text
	return r
}
