package frame

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// clientFrame builds one masked frame. The mask is never zero, so that a parser
// that forgets it shows.
type clientFrame struct {
	op      Opcode
	rsv     byte // reserved bits in place, 0x40 = RSV1
	more    bool // FIN clear
	payload []byte
}

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func (f clientFrame) append(dst []byte) []byte {
	b0 := byte(f.op) | f.rsv
	if !f.more {
		b0 |= bitFin
	}
	dst = append(dst, b0)
	switch n := len(f.payload); {
	case n < 126:
		dst = append(dst, byte(n)|bitMask)
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 126|bitMask), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127|bitMask), uint64(n))
	}
	dst = append(dst, testMask[:]...)
	for i, c := range f.payload {
		dst = append(dst, c^testMask[i%4])
	}
	return dst
}

func text(s string) clientFrame               { return clientFrame{op: OpText, payload: []byte(s)} }
func textMore(s string) clientFrame           { return clientFrame{op: OpText, more: true, payload: []byte(s)} }
func cont(s string) clientFrame               { return clientFrame{op: OpContinuation, payload: []byte(s)} }
func contMore(s string) clientFrame           { return clientFrame{more: true, payload: []byte(s)} }
func control(op Opcode, s string) clientFrame { return clientFrame{op: op, payload: []byte(s)} }
func closing(code int, s string) clientFrame {
	return clientFrame{op: OpClose, payload: append(binary.BigEndian.AppendUint16(nil, uint16(code)), s...)}
}

func wire(frames ...clientFrame) []byte {
	var p []byte
	for _, f := range frames {
		p = f.append(p)
	}
	return p
}

// recorder is a Sink that writes down what it is told.
type recorder struct {
	events []string
	// pauseAfter is the number of events after which every further one is answered
	// with ErrPause; negative = never.
	pauseAfter int
	fail       error // answer to every event
}

func newRecorder() *recorder { return &recorder{pauseAfter: -1} }

func (r *recorder) note(format string, args ...any) error {
	r.events = append(r.events, fmt.Sprintf(format, args...))
	if r.fail != nil {
		return r.fail
	}
	if r.pauseAfter >= 0 && len(r.events) > r.pauseAfter {
		return ErrPause
	}
	return nil
}

func (r *recorder) Message(op Opcode, p []byte) error {
	if op == OpText {
		return r.note("text %q", p)
	}
	return r.note("binary %x", p)
}

func (r *recorder) Control(op Opcode, p []byte) error {
	switch op {
	case OpClose:
		code, reason, ok := CloseCode(p)
		return r.note("close %d %q %v", code, reason, ok)
	case OpPing:
		return r.note("ping %q", p)
	case OpPong:
		return r.note("pong %q", p)
	}
	return r.note("unknown control %d", op)
}

func (r *recorder) Fragment() error { return r.note("fragment") }

// session is one connection for the length of a test.
type session struct {
	*recorder
	t       testing.TB
	ps      *Parser
	st      *State
	deflate bool
	lim     Limits
	err     error // first error that was not ErrPause
}

var testLimits = Limits{MessageBytes: 16 << 10, Fragments: 64}

func newSession(t testing.TB) *session {
	return &session{recorder: newRecorder(), t: t, ps: NewParser(), lim: testLimits}
}

// feed passes p on, again after each pause, and checks what Parse promises of its
// results. p is copied, since it is unmasked in place.
func (s *session) feed(p []byte) {
	s.t.Helper()
	p = slices.Clone(p)
	for s.err == nil {
		n, next, err := s.ps.Parse(s.st, s.deflate, s.lim, p, s.recorder)
		s.st = next
		if n < 0 || n > len(p) || err == nil && n != len(p) {
			s.t.Fatalf("consumed %d of %d, err %v", n, len(p), err)
		}
		switch {
		case err == nil:
			return
		case err == ErrPause:
			p = p[n:]
			if len(p) == 0 {
				return
			}
		default:
			s.err = err
			if next != nil {
				s.t.Fatalf("state kept after %v", err)
			}
		}
	}
}

// outcome is everything that a peer could observe.
func (s *session) outcome() string {
	out := fmt.Sprintf("%v", s.events)
	if s.err != nil {
		out += " then " + s.err.Error()
	}
	return out
}

// want compares the events so far.
func (s *session) want(events ...string) {
	s.t.Helper()
	if !slices.Equal(s.events, events) {
		s.t.Fatalf("events\n got %v\nwant %v", s.events, events)
	}
}

// wantIdle checks that the connection is exactly between two messages.
func (s *session) wantIdle() {
	s.t.Helper()
	if s.err != nil {
		s.t.Fatalf("refused: %v", s.err)
	}
	if s.st != nil {
		s.t.Fatalf("state kept between messages: %+v", *s.st)
	}
}

// wantRefused checks the verdict's close code, and its text when one is given.
func (s *session) wantRefused(code uint16, because error) {
	s.t.Helper()
	r, ok := s.err.(CloseReason)
	if !ok {
		s.t.Fatalf("got error %v after %v, want close code %d", s.err, s.events, code)
	}
	if r.Code != code {
		s.t.Fatalf("got %v, want close code %d", r, code)
	}
	if because != nil && s.err != because {
		s.t.Fatalf("refused because of %v, want %v", s.err, because)
	}
}

// splits are ways to cut n bytes: at once, byte by byte, at every single border
// (a few when there are many), and at random.
func splits(n int, rng *rand.Rand) [][]int {
	all := [][]int{{n}}
	bytewise := make([]int, n)
	for i := range bytewise {
		bytewise[i] = 1
	}
	all = append(all, bytewise)
	step := max(1, n/64)
	for cut := 1; cut < n; cut += step {
		all = append(all, []int{cut, n - cut})
	}
	for range 8 {
		var parts []int
		for left := n; left > 0; {
			part := 1 + rng.IntN(min(left, 1+rng.IntN(40)))
			parts = append(parts, part)
			left -= part
		}
		all = append(all, parts)
	}
	return all
}

// everySplit runs the script once per way to cut p and hands each finished session
// to check.
func everySplit(t *testing.T, p []byte, set func(*session), check func(*session)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	ps := NewParser()
	for _, parts := range splits(len(p), rng) {
		s := newSession(t)
		s.ps = ps // pools are shared: what one connection leaves must not reach another
		if set != nil {
			set(s)
		}
		rest := p
		for _, n := range parts {
			s.feed(rest[:n])
			rest = rest[n:]
		}
		check(s)
		ps.Release(s.st)
		if t.Failed() {
			t.Fatalf("split %v", parts)
		}
	}
}
