package frame

import (
	"errors"
	"math"
	"unicode/utf8"
)

// Limits bound one inbound message.
type Limits struct {
	// MessageBytes bounds a message after reassembly and after inflating. Unit:
	// bytes. 0 accepts only empty messages.
	MessageBytes int
	// Fragments bounds the frames of a message; a message in one frame is always
	// allowed. Empty frames count.
	Fragments int
}

// Sink receives what a Parser finds, in the order of the wire. p is borrowed
// until the method returns. A method may return ErrPause: the frame was handled,
// parsing stops behind it. Any other error stops parsing for good.
type Sink interface {
	// Message is a complete data message: unmasked, reassembled, inflated, and
	// valid UTF-8 when op is OpText.
	Message(op Opcode, p []byte) error
	// Control is a close, ping or pong of at most 125 bytes, also between the
	// fragments of a message. A close payload is valid, CloseCode splits it.
	// Whoever gets a close returns an error: nothing may follow it.
	Control(op Opcode, p []byte) error
	// Fragment is told of each complete data frame that does not end its message.
	Fragment() error
}

// Parser reads the frames of one loop's connections, one call at a time. It owns
// the pools that their States use and the one inflater that they share.
type Parser struct {
	// Owned by the goroutine that calls Parse.
	buffers  buffers
	states   []*State // idle
	unused   int      // of these, taken at no time since Trim
	inflater inflater

	// Arguments of the running Parse.
	sink    Sink
	limits  Limits
	deflate bool
	running bool
}

// NewParser makes a parser that has allocated nothing yet.
func NewParser() *Parser { return &Parser{} }

// Parse reads as many frames as p holds and unmasks them in place. st is what
// the previous call for the connection returned; deflate tells that
// permessage-deflate was negotiated. Not reentrant: no Sink may call it.
//
// n is the number of bytes consumed, len(p) unless err is set. next replaces st,
// which must not be used again; it is nil when the connection is exactly between
// two messages, and after any error but ErrPause.
//
// err is ErrPause (p[:n] was handled, the rest is the caller's to keep and to
// pass again), a CloseReason (the input is refused: close with it), or another
// error of the Sink as it was.
func (ps *Parser) Parse(st *State, deflate bool, lim Limits, p []byte, s Sink) (n int, next *State, err error) {
	if checked {
		if ps.running {
			panic("frame: a Sink called Parse")
		}
		ps.running = true
		defer func() { ps.running = false }()
	}
	ps.sink, ps.limits, ps.deflate = s, lim, deflate
	for n < len(p) {
		var used int
		switch {
		case st == nil || st.phase == phaseBetween:
			used, st, err = ps.frame(st, p[n:])
		case st.phase == phaseHeader:
			used, st, err = ps.header(st, p[n:])
		case st.phase == phaseData:
			used, st, err = ps.data(st, p[n:])
		default:
			used, st, err = ps.control(st, p[n:])
		}
		n += used
		if err != nil {
			return ps.stop(st, n, err)
		}
	}
	return n, st, nil
}

func (ps *Parser) stop(st *State, n int, err error) (int, *State, error) {
	if errors.Is(err, ErrPause) {
		return n, st, err
	}
	ps.Release(st)
	return n, nil, err
}

// frame reads at a frame border.
func (ps *Parser) frame(st *State, p []byte) (used int, next *State, err error) {
	h, done, err := parseHeader(p, st != nil && st.open, ps.deflate)
	if err != nil {
		return 0, st, err
	}
	if !done {
		if st == nil {
			st = ps.newState()
		}
		st.phase = phaseHeader
		st.headLen = uint8(copy(st.head[:], p))
		return len(p), st, nil
	}
	used, next, err = ps.payload(st, &h, p[h.size:])
	return h.size + used, next, err
}

// header goes on with a header whose first bytes came earlier.
func (ps *Parser) header(st *State, p []byte) (used int, next *State, err error) {
	had := int(st.headLen)
	have := had + copy(st.head[had:], p)
	h, done, err := parseHeader(st.head[:have], st.open, ps.deflate)
	if err != nil {
		return 0, st, err
	}
	if !done {
		st.headLen = uint8(have)
		return len(p), st, nil
	}
	st.phase, st.headLen = phaseBetween, 0
	if !st.open {
		ps.Release(st) // a frame that is whole from here on needs none
		st = nil
	}
	taken := h.size - had
	used, next, err = ps.payload(st, &h, p[taken:])
	return taken + used, next, err
}

// payload reads behind a complete header: the whole payload where it lies, or as
// much of it as there is into a State.
func (ps *Parser) payload(st *State, h *header, p []byte) (used int, next *State, err error) {
	if h.op.control() {
		if uint64(len(p)) < h.length {
			return ps.beginControl(st, h, p)
		}
		p = p[:h.length]
		unmask(p, h.mask)
		return len(p), st, ps.deliverControl(h.op, p)
	}
	if err := ps.checkSize(st, h); err != nil {
		return 0, st, err
	}
	if st == nil && h.fin && uint64(len(p)) >= h.length {
		p = p[:h.length]
		unmask(p, h.mask)
		return len(p), nil, ps.deliver(h.op, h.rsv1, false, p)
	}
	return ps.beginData(st, h, p)
}

// checkSize holds the announced length against the limits, before a byte of it
// is believed or stored.
func (ps *Parser) checkSize(st *State, h *header) error {
	compressed, size, frames := h.rsv1, uint64(0), 0
	if st != nil {
		compressed, size, frames = st.compressed, st.size, int(st.frames)
	}
	limit := uint64(max(ps.limits.MessageBytes, 0))
	if compressed {
		limit = maxCompressed(limit)
	}
	if size > limit || h.length > limit-size { // the limit may have become smaller since
		return errTooLong
	}
	if frames > 0 && frames >= ps.limits.Fragments || frames == math.MaxInt32 {
		return errTooManyFrag
	}
	return nil
}

// beginData starts a data frame that is not a whole message in the input.
func (ps *Parser) beginData(st *State, h *header, p []byte) (used int, next *State, err error) {
	if st == nil {
		st = ps.newState()
		st.open, st.compressed, st.message = true, h.rsv1, h.op
	}
	st.frames++
	st.size += h.length
	st.fin, st.mask, st.left = h.fin, h.mask, h.length
	st.phase = phaseData
	return ps.data(st, p)
}

// data reads payload of the data frame that is open, and ends it at its end.
func (ps *Parser) data(st *State, p []byte) (used int, next *State, err error) {
	if uint64(len(p)) > st.left {
		p = p[:st.left]
	}
	unmask(p, st.mask)
	st.mask = advanceMask(st.mask, len(p))
	st.left -= uint64(len(p))
	if st.message == OpText && !st.compressed && !st.text.write(p) {
		return len(p), st, errTextUTF8
	}
	most := 0
	if st.fin {
		most = int(st.size)
	}
	if len(p) > 0 {
		st.data = ps.buffers.append(st.data, p, most)
	}
	switch {
	case st.left > 0:
		return len(p), st, nil
	case !st.fin:
		st.phase = phaseBetween
		return len(p), st, ps.sink.Fragment()
	}
	if st.message == OpText && !st.compressed && !st.text.whole() {
		return len(p), st, errTextUTF8
	}
	err = ps.deliver(st.message, st.compressed, true, st.data)
	ps.Release(st)
	return len(p), nil, err
}

// deliver inflates and validates a message and hands it over. valid says that
// uncompressed text has been validated on the way.
func (ps *Parser) deliver(op Opcode, compressed, valid bool, p []byte) error {
	if compressed {
		out, err := ps.inflater.inflate(p, ps.limits.MessageBytes)
		if err != nil {
			return err
		}
		defer ps.inflater.trim()
		p, valid = out, false
	}
	if op == OpText && !valid && !utf8.Valid(p) {
		return errTextUTF8
	}
	err := ps.sink.Message(op, p)
	if checked {
		overwrite(p)
	}
	return err
}

// beginControl starts a control frame that is not whole in the input.
func (ps *Parser) beginControl(st *State, h *header, p []byte) (used int, next *State, err error) {
	if st == nil {
		st = ps.newState()
	}
	st.phase = phaseControl
	st.op, st.mask, st.left = h.op, h.mask, h.length
	st.control = ps.buffers.get(maxControl)
	return ps.control(st, p)
}

// control reads payload of the control frame that is open, and ends it at its
// end. The message around it stays as it is.
func (ps *Parser) control(st *State, p []byte) (used int, next *State, err error) {
	if uint64(len(p)) > st.left {
		p = p[:st.left]
	}
	st.control = append(st.control, p...)
	st.left -= uint64(len(p))
	if st.left > 0 {
		return len(p), st, nil
	}
	unmask(st.control, st.mask)
	err = ps.deliverControl(st.op, st.control)
	ps.buffers.put(st.control)
	st.control = nil
	st.phase = phaseBetween
	if !st.open {
		ps.Release(st)
		st = nil
	}
	return len(p), st, err
}

func (ps *Parser) deliverControl(op Opcode, p []byte) error {
	if op == OpClose {
		if err := checkClose(p); err != nil {
			return err
		}
	}
	err := ps.sink.Control(op, p)
	if checked {
		overwrite(p)
	}
	return err
}
