package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestConversations runs whole scripts, each cut in every way.
func TestConversations(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<10)
	cases := []struct {
		name   string
		frames []clientFrame
		want   []string
	}{
		{"text", []clientFrame{text("Hello")}, []string{`text "Hello"`}},
		{"empty text", []clientFrame{text("")}, []string{`text ""`}},
		{"binary", []clientFrame{{op: OpBinary, payload: []byte{0, 255}}}, []string{"binary 00ff"}},
		{"payload of 125", []clientFrame{text(long[:125])}, []string{fmt.Sprintf("text %q", long[:125])}},
		{"payload of 126", []clientFrame{text(long[:126])}, []string{fmt.Sprintf("text %q", long[:126])}},
		{"payload at the limit", []clientFrame{text(long)}, []string{fmt.Sprintf("text %q", long)}},
		{"two messages", []clientFrame{text("a"), text("b")}, []string{`text "a"`, `text "b"`}},
		{"two fragments", []clientFrame{textMore("Hel"), cont("lo")}, []string{"fragment", `text "Hello"`}},
		{"empty fragments", []clientFrame{textMore(""), contMore(""), cont("")}, []string{"fragment", "fragment", `text ""`}},
		{"empty first fragment", []clientFrame{textMore(""), cont("x")}, []string{"fragment", `text "x"`}},
		{"binary fragments", []clientFrame{{op: OpBinary, more: true, payload: []byte{1}}, cont("\x02")}, []string{"fragment", "binary 0102"}},
		{"ping", []clientFrame{control(OpPing, "are you there")}, []string{`ping "are you there"`}},
		{"empty ping", []clientFrame{control(OpPing, "")}, []string{`ping ""`}},
		{"unasked pong", []clientFrame{control(OpPong, "x")}, []string{`pong "x"`}},
		{"ping of 125", []clientFrame{control(OpPing, long[:125])}, []string{fmt.Sprintf("ping %q", long[:125])}},
		{"controls between fragments", []clientFrame{
			textMore("a"), control(OpPing, "1"), contMore("b"), control(OpPong, "2"), control(OpPing, ""), cont("c"), text("next")},
			[]string{"fragment", `ping "1"`, "fragment", `pong "2"`, `ping ""`, `text "abc"`, `text "next"`}},
		{"close without code", []clientFrame{control(OpClose, "")}, []string{`close 1005 "" true`}},
		{"close with code", []clientFrame{closing(1000, "")}, []string{`close 1000 "" true`}},
		{"close with reason", []clientFrame{closing(4001, "à bientôt")}, []string{`close 4001 "à bientôt" true`}},
		{"close between fragments", []clientFrame{textMore("a"), closing(1001, "")}, []string{"fragment", `close 1001 "" true`}},
		{"rune across fragments", []clientFrame{textMore("\xf0\x9f"), contMore("\x98"), cont("\x80!")}, []string{"fragment", "fragment", `text "😀!"`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			everySplit(t, wire(c.frames...), nil, func(s *session) {
				s.want(c.want...)
				if c.frames[0].op != OpText || !c.frames[0].more || c.frames[len(c.frames)-1].op != OpClose {
					s.wantIdle()
				}
			})
		})
	}
}

// TestRefused gives the verdict on each mistake, and that nothing behind it or
// wrong in it reaches the Sink.
func TestRefused(t *testing.T) {
	unmasked := []byte{0x81, 0x01, 'a'}
	raw := func(p ...byte) []byte { return p }
	cases := []struct {
		name  string
		input []byte
		code  uint16
		why   error
		want  []string
	}{
		{"not masked", unmasked, 1002, errNotMasked, nil},
		{"not masked behind a good one", append(wire(text("a")), unmasked...), 1002, errNotMasked, []string{`text "a"`}},
		{"RSV1 without the extension", wire(clientFrame{op: OpText, rsv: 0x40}), 1002, errReservedBit, nil},
		{"RSV2", wire(clientFrame{op: OpText, rsv: 0x20}), 1002, errReservedBit, nil},
		{"RSV3", wire(clientFrame{op: OpText, rsv: 0x10}), 1002, errReservedBit, nil},
		{"RSV1 on ping", wire(clientFrame{op: OpPing, rsv: 0x40}), 1002, errReservedBit, nil},
		{"opcode 3", wire(clientFrame{op: 3}), 1002, errOpcode, nil},
		{"opcode 7", wire(clientFrame{op: 7}), 1002, errOpcode, nil},
		{"opcode 11", wire(clientFrame{op: 11}), 1002, errOpcode, nil},
		{"opcode 15", wire(clientFrame{op: 15}), 1002, errOpcode, nil},
		{"fragmented ping", wire(clientFrame{op: OpPing, more: true}), 1002, errControlFragment, nil},
		{"ping of 126", wire(control(OpPing, strings.Repeat("x", 126))), 1002, errControlLength, nil},
		{"ping with a 64-bit length", raw(0x89, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5), 1002, errControlLength, nil},
		{"continuation without a message", wire(cont("x")), 1002, errNoMessage, nil},
		{"continuation behind a whole message", wire(text("a"), cont("x")), 1002, errNoMessage, []string{`text "a"`}},
		{"text inside a message", wire(textMore("a"), text("b")), 1002, errNewMessage, []string{"fragment"}},
		{"binary inside a message", wire(textMore("a"), clientFrame{op: OpBinary, more: true}), 1002, errNewMessage, []string{"fragment"}},
		{"16-bit length of 125", raw(0x81, 0xfe, 0, 125, 1, 2, 3, 4), 1002, errLength, nil},
		{"16-bit length of 0", raw(0x81, 0xfe, 0, 0, 1, 2, 3, 4), 1002, errLength, nil},
		{"64-bit length of 0", raw(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4), 1002, errLength, nil},
		{"64-bit length of 125", raw(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 125, 1, 2, 3, 4), 1002, errLength, nil},
		{"64-bit length of 65535", raw(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), 1002, errLength, nil},
		{"64-bit length of 2^63", raw(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4), 1002, errLength, nil},
		{"64-bit length of 2^64-1", raw(0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4), 1002, errLength, nil},
		{"length of 2^63-1", raw(0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4), 1009, errTooLong, nil},
		{"length of 2^32+5", raw(0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o'), 1009, errTooLong, nil},
		{"length of 2^31", raw(0x81, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 1, 2, 3, 4), 1009, errTooLong, nil},
		{"one byte over the limit", wire(clientFrame{op: OpBinary, payload: make([]byte, 16<<10+1)}), 1009, errTooLong, nil},
		{"fragments over the limit together", wire(textMore(strings.Repeat("a", 16<<10)), cont("b")), 1009, errTooLong, []string{"fragment"}},
		{"bad UTF-8", wire(text("a\xff")), 1007, errTextUTF8, nil},
		{"UTF-8 cut off", wire(text("a\xe2\x82")), 1007, errTextUTF8, nil},
		{"UTF-8 cut off in the last fragment", wire(textMore("a"), cont("\xe2\x82")), 1007, errTextUTF8, []string{"fragment"}},
		{"surrogate across fragments", wire(textMore("\xed"), contMore("\xa0")), 1007, errTextUTF8, []string{"fragment"}},
		{"close payload of one byte", wire(control(OpClose, "\x03")), 1002, errCloseLength, nil},
		{"close reason not UTF-8", wire(closing(1000, "\xce\xba\xed\xa0\x80")), 1007, errCloseUTF8, nil},
		{"close code not for the wire", wire(closing(1005, "")), 1002, errCloseCode, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			everySplit(t, c.input, nil, func(s *session) {
				s.wantRefused(c.code, c.why)
				s.want(c.want...)
			})
		})
	}
}

// TestFirstTwoBytes tries all 65,536 beginnings of a frame in both states of a
// connection, with and without compression, against the rules of RFC 6455 section
// 5.2 and RFC 7692 section 6, written down once more.
func TestFirstTwoBytes(t *testing.T) {
	legal := func(b0, b1 byte, open, deflate bool) bool {
		fin, rsv1, rsv23 := b0&0x80 != 0, b0&0x40 != 0, b0&0x30 != 0
		length := b1 & 0x7f
		if rsv23 || b1&0x80 == 0 {
			return false
		}
		switch b0 & 0x0f {
		case 0:
			return open && !rsv1
		case 1, 2:
			return !open && (!rsv1 || deflate)
		case 8, 9, 10:
			return fin && !rsv1 && length <= 125
		}
		return false
	}
	ps := NewParser()
	accepted := 0
	for _, open := range []bool{false, true} {
		for _, deflate := range []bool{false, true} {
			for i := range 1 << 16 {
				b0, b1 := byte(i>>8), byte(i)
				var st *State
				if open {
					_, st, _ = ps.Parse(nil, deflate, testLimits, wire(textMore("a")), newRecorder())
				}
				_, next, err := ps.Parse(st, deflate, testLimits, []byte{b0, b1}, newRecorder())
				ps.Release(next)
				if got, want := err == nil, legal(b0, b1, open, deflate); got != want {
					t.Fatalf("%02x %02x open=%v deflate=%v: accepted %v, want %v (%v)", b0, b1, open, deflate, got, want, err)
				}
				if err != nil && err.(CloseReason).Code != 1002 {
					t.Fatalf("%02x %02x: %v, want close code 1002", b0, b1, err)
				}
				if err == nil {
					accepted++
				}
			}
		}
	}
	t.Logf("%d of %d beginnings accepted", accepted, 4<<16)
}

// TestLengthEncodings walks both borders of every length encoding.
func TestLengthEncodings(t *testing.T) {
	frame := func(length7 byte, extended uint64, payload int) []byte {
		p := []byte{0x82, bitMask | length7}
		switch length7 {
		case len16:
			p = binary.BigEndian.AppendUint16(p, uint16(extended))
		case len64:
			p = binary.BigEndian.AppendUint64(p, extended)
		}
		return append(append(p, testMask[:]...), make([]byte, payload)...)
	}
	cases := []struct {
		name     string
		length7  byte
		extended uint64
		payload  int
		code     uint16 // 0 = accepted
	}{
		{"0 in 7 bits", 0, 0, 0, 0},
		{"1 in 7 bits", 1, 0, 1, 0},
		{"125 in 7 bits", 125, 0, 125, 0},
		{"125 in 16 bits", len16, 125, 125, 1002},
		{"126 in 16 bits", len16, 126, 126, 0},
		{"65535 in 16 bits", len16, 65535, 65535, 0},
		{"126 in 64 bits", len64, 126, 126, 1002},
		{"65535 in 64 bits", len64, 65535, 65535, 1002},
		{"65536 in 64 bits", len64, 65536, 65536, 0},
		{"65537 in 64 bits", len64, 65537, 65537, 1009},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			s.lim.MessageBytes = 65536
			s.feed(frame(c.length7, c.extended, c.payload))
			if c.code != 0 {
				s.wantRefused(c.code, nil)
				return
			}
			s.wantIdle()
			if len(s.events) != 1 {
				t.Fatalf("%d messages", len(s.events))
			}
		})
	}
}

func TestFragmentLimit(t *testing.T) {
	for _, frames := range []int{1, 63, 64, 65, 1000} {
		t.Run(fmt.Sprint(frames), func(t *testing.T) {
			s := newSession(t)
			s.feed(wire(textMore("")))
			for range frames - 2 {
				s.feed(wire(contMore("")))
			}
			s.feed(wire(cont("")))
			if frames > 64 {
				s.wantRefused(1009, errTooManyFrag)
				if got := len(s.events); got != 64 {
					t.Fatalf("%d fragments accepted", got)
				}
				return
			}
			s.wantIdle()
		})
	}
}

// TestFailFast: text is refused at the first byte that cannot become valid, not
// at the end of its frame or message.
func TestFailFast(t *testing.T) {
	p := wire(text("ok\xf4\x90" + strings.Repeat("x", 100)))
	s := newSession(t)
	for i := range p {
		s.feed(p[i : i+1])
		if s.err != nil {
			const header = 6
			if i != header+3 {
				t.Fatalf("refused at byte %d of the payload", i-header)
			}
			s.wantRefused(1007, errTextUTF8)
			return
		}
	}
	t.Fatal("accepted")
}

// TestPause: every event may pause; nothing is lost and nothing comes twice.
func TestPause(t *testing.T) {
	p := wire(text("a"), textMore("b"), control(OpPing, "p"), contMore(""), cont("c"), text("d"))
	everySplit(t, p, func(s *session) { s.pauseAfter = 0 }, func(s *session) {
		s.want(`text "a"`, "fragment", `ping "p"`, "fragment", `text "bc"`, `text "d"`)
		s.wantIdle()
	})
}

// TestPauseConsumesOneFrame: p[:n] is exactly the frame that paused.
func TestPauseConsumesOneFrame(t *testing.T) {
	first := wire(text("a"))
	p := append(bytes.Clone(first), wire(text("b"))...)
	r := newRecorder()
	r.pauseAfter = 0
	n, st, err := NewParser().Parse(nil, false, testLimits, p, r)
	if n != len(first) || st != nil || err != ErrPause {
		t.Fatalf("n %d, state %v, err %v", n, st, err)
	}
}

// TestSinkErrorPassesThrough: an error of the Sink comes back as it was, and the
// state is taken back, wherever it happened.
func TestSinkErrorPassesThrough(t *testing.T) {
	boom := errors.New("boom")
	for _, p := range [][]byte{wire(text("a")), wire(textMore("a")), wire(control(OpPing, "a")), wire(closing(1000, ""))} {
		for _, cut := range []int{len(p), 1, len(p) - 1} {
			s := newSession(t)
			s.fail = boom
			s.feed(p[:cut])
			s.feed(p[cut:])
			if s.err != boom || s.st != nil {
				t.Fatalf("%x cut at %d: error %v, state %v", p, cut, s.err, s.st)
			}
		}
	}
}

func TestMessageOpen(t *testing.T) {
	ping, whole, first := wire(control(OpPing, "abc")), wire(text("hello")), wire(textMore("hello"))
	cases := []struct {
		name  string
		input []byte
		want  bool
	}{
		{"one byte of a text header", whole[:1], true},
		{"part of a text payload", whole[:8], true},
		{"one byte of a ping header", ping[:1], false},
		{"part of a ping payload", ping[:7], false},
		{"between fragments", first, true},
		{"ping header between fragments", append(bytes.Clone(first), ping[0]), true},
		{"ping payload between fragments", append(bytes.Clone(first), ping[:7]...), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			s.feed(c.input)
			if s.st == nil || s.st.MessageOpen() != c.want {
				t.Fatalf("state %+v, want open %v", s.st, c.want)
			}
		})
	}
}

// TestMemoryFollowsArrival: what a connection holds depends on what it has sent,
// not on what it has announced.
func TestMemoryFollowsArrival(t *testing.T) {
	s := newSession(t)
	s.lim.MessageBytes = 16 << 20
	p := wire(clientFrame{op: OpBinary, payload: make([]byte, 16<<20)})
	s.feed(p[:1])
	if got := s.st.Bytes(); got > 160 {
		t.Errorf("one byte of a header holds %d bytes", got)
	}
	s.feed(p[1:20])
	if got := s.st.Bytes(); got > 320 {
		t.Errorf("a few bytes of a payload hold %d bytes", got)
	}
	for sent := 20; sent < len(p); {
		n := min(64<<10, len(p)-sent)
		s.feed(p[sent : sent+n])
		sent += n
		if s.st != nil && s.st.Bytes() > 2*sent+512 {
			t.Fatalf("%d bytes held after %d", s.st.Bytes(), sent)
		}
	}
	s.wantIdle()
	if s.ps.buffers.pooled > maxBuffer {
		t.Errorf("%d bytes pooled after a large message", s.ps.buffers.pooled)
	}
}

// TestLargeMessageKeepsItsBytes covers growth over the pooled classes with a
// payload whose every byte is known, in reads that are no multiple of four.
func TestLargeMessageKeepsItsBytes(t *testing.T) {
	payload := make([]byte, 3<<20+7)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	p := wire(clientFrame{op: OpBinary, more: true, payload: payload[:1<<20+1]}, clientFrame{payload: payload[1<<20+1:]})
	var got []byte
	s := &catcher{message: func(op Opcode, p []byte) { got = bytes.Clone(p) }}
	ps, lim := NewParser(), Limits{MessageBytes: 4 << 20, Fragments: 64}
	var st *State
	for len(p) > 0 {
		n := min(65_521, len(p))
		var err error
		if _, st, err = ps.Parse(st, false, lim, p[:n], s); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if !bytes.Equal(got, payload) {
		t.Fatal("payload differs")
	}
}

// catcher is a Sink that costs nothing unless asked.
type catcher struct {
	message  func(op Opcode, p []byte)
	messages int
	controls int
}

func (c *catcher) Message(op Opcode, p []byte) error {
	c.messages++
	if c.message != nil {
		c.message(op, p)
	}
	return nil
}

func (c *catcher) Control(Opcode, []byte) error { c.controls++; return nil }
func (c *catcher) Fragment() error              { return nil }

// TestLimitLoweredInside: a reload may lower the limit below what an open message
// already has.
func TestLimitLoweredInside(t *testing.T) {
	s := newSession(t)
	s.feed(wire(textMore(strings.Repeat("a", 4096))))
	s.lim.MessageBytes = 1024
	s.feed(wire(cont("b")))
	s.wantRefused(1009, errTooLong)
}

// TestStatesAreRecycled: a thousand connections inside a message leave nothing
// behind but the bounded pools.
func TestStatesAreRecycled(t *testing.T) {
	ps := NewParser()
	for range 3 {
		var open []*State
		for range 2000 {
			_, st, err := ps.Parse(nil, false, testLimits, wire(textMore("hello"), control(OpPing, "abc"))[:14], newRecorder())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, st)
		}
		for _, st := range open {
			ps.Release(st)
		}
	}
	if len(ps.states) > maxStates || ps.buffers.pooled > maxPooled {
		t.Fatalf("%d states, %d bytes pooled", len(ps.states), ps.buffers.pooled)
	}
}

// TestPoolsKeepWhatIsUsed: a burst leaves the pools after two ticks, what a steady
// stream takes again and again stays.
func TestPoolsKeepWhatIsUsed(t *testing.T) {
	ps := NewParser()
	half := wire(textMore("hello"), control(OpPing, "abc"))[:14]
	hold := func(n int) {
		t.Helper()
		var open []*State
		for range n {
			_, st, err := ps.Parse(nil, false, testLimits, bytes.Clone(half), newRecorder())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, st)
		}
		for _, st := range open {
			ps.Release(st)
		}
	}
	hold(1000)
	ps.Trim()
	if len(ps.states) != 1000 || ps.buffers.pooled != 1000*minBuffer {
		t.Fatalf("after a burst: %d states, %d bytes pooled", len(ps.states), ps.buffers.pooled)
	}
	hold(10)
	ps.Trim()
	if len(ps.states) != 10 || ps.buffers.pooled != 10*minBuffer {
		t.Fatalf("a tick with ten at a time: %d states, %d bytes pooled", len(ps.states), ps.buffers.pooled)
	}
	if n := testing.AllocsPerRun(10, func() { ps.Trim(); ps.Release(ps.newState()) }); n != 0 {
		t.Errorf("%v allocations with one at a time", n)
	}
	ps.Trim()
	ps.Trim()
	if len(ps.states) != 0 || ps.buffers.pooled != 0 {
		t.Fatalf("at rest: %d states, %d bytes pooled", len(ps.states), ps.buffers.pooled)
	}
}
