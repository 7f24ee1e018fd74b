package frame

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// slowParse is the parser written a second time, for clarity alone: the whole
// input lies before it, it copies everything, and it validates from the beginning
// whenever something has been added. It tells a Sink the same things and returns
// the verdict; nil at the end of the input.
func slowParse(p []byte, deflate bool, lim Limits, s Sink) error {
	var (
		message    []byte
		op         byte // of the message that is open; 0 = none
		compressed bool
		frames     int
	)
	for len(p) > 0 {
		b0 := p[0]
		fin, rsv, code := b0&0x80 != 0, b0&0x70, b0&0x0f
		isControl := code >= 8
		switch {
		case code >= 3 && code <= 7 || code >= 11:
			return errOpcode
		case isControl && !fin:
			return errControlFragment
		case (code == 1 || code == 2) && op != 0:
			return errNewMessage
		case code == 0 && op == 0:
			return errNoMessage
		case rsv != 0 && !(rsv == 0x40 && deflate && (code == 1 || code == 2)):
			return errReservedBit
		}
		if len(p) < 2 {
			return nil
		}
		if p[1] < 0x80 {
			return errNotMasked
		}
		n, head := uint64(p[1]-0x80), 2
		if isControl && n > 125 {
			return errControlLength
		}
		if n == 126 {
			if head = 4; len(p) < head {
				return nil
			}
			if n = uint64(binary.BigEndian.Uint16(p[2:4])); n <= 125 {
				return errLength
			}
		} else if n == 127 {
			if head = 10; len(p) < head {
				return nil
			}
			if n = binary.BigEndian.Uint64(p[2:10]); n <= 65535 || n > 1<<63-1 {
				return errLength
			}
		}
		if len(p) < head+4 {
			return nil
		}
		mask := p[head : head+4]
		p = p[head+4:]

		if !isControl {
			if code != 0 {
				op, message, frames = code, nil, 0
				compressed = rsv != 0
			}
			limit := uint64(lim.MessageBytes)
			if compressed {
				limit = maxCompressed(limit)
			}
			if uint64(len(message))+n > limit {
				return errTooLong
			}
			if frames++; frames > 1 && frames > lim.Fragments {
				return errTooManyFrag
			}
		}
		whole := uint64(len(p)) >= n
		payload := bytes.Clone(p[:min(uint64(len(p)), n)])
		p = p[len(payload):]
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		if isControl {
			if !whole {
				return nil
			}
			if code == 8 {
				switch {
				case len(payload) == 1:
					return errCloseLength
				case len(payload) > 1 && !mayClose(binary.BigEndian.Uint16(payload)):
					return errCloseCode
				case len(payload) > 2 && !utf8.Valid(payload[2:]):
					return errCloseUTF8
				}
			}
			if err := s.Control(Opcode(code), payload); err != nil {
				return err
			}
			continue
		}
		message = append(message, payload...)
		if op == 1 && !compressed && !couldContinue(string(message)) {
			return errTextUTF8
		}
		if !whole {
			return nil
		}
		if !fin {
			if err := s.Fragment(); err != nil {
				return err
			}
			continue
		}
		done := string(message)
		if compressed {
			var err error
			if done, err = slowInflate(message, lim.MessageBytes); err != nil {
				return err
			}
		}
		if op == 1 && !utf8.ValidString(done) {
			return errTextUTF8
		}
		if err := s.Message(Opcode(op), []byte(done)); err != nil {
			return err
		}
		op = 0
	}
	return nil
}

// framesFrom turns any bytes into a stream of frames whose headers are well
// formed but for what their first byte says, so that a fuzzer reaches what lies
// behind the header checks.
func framesFrom(script []byte) []byte {
	var p []byte
	for len(script) >= 2 {
		b0, n := script[0], int(script[1])
		script = script[2:]
		if n > 200 {
			n *= 3 // over the 7-bit lengths, and often over the input
		}
		n = min(n, len(script))
		f := clientFrame{op: Opcode(b0 & bitsOp), rsv: b0 & bitsRsv, more: b0&bitFin == 0, payload: script[:n]}
		p = f.append(p)
		script = script[n:]
	}
	return append(p, script...)
}

// checkAgainstReference parses p in several ways and compares events and verdict
// with slowParse.
func checkAgainstReference(t *testing.T, p []byte, deflate bool, lim Limits, rng *rand.Rand) {
	t.Helper()
	reference := &session{recorder: newRecorder(), t: t}
	reference.err = slowParse(p, deflate, lim, reference.recorder)
	want := reference.outcome()

	ps := NewParser()
	cuts := splits(len(p), rng)
	if len(cuts) > 12 {
		rng.Shuffle(len(cuts)-2, func(i, j int) { cuts[i+2], cuts[j+2] = cuts[j+2], cuts[i+2] })
		cuts = cuts[:12] // at once, byte by byte, ten others
	}
	for i, parts := range cuts {
		s := newSession(t)
		s.ps, s.deflate, s.lim = ps, deflate, lim
		if i%3 == 2 {
			s.pauseAfter = 0
		}
		rest := p
		for _, n := range parts {
			s.feed(rest[:n])
			rest = rest[n:]
		}
		if got := s.outcome(); got != want {
			t.Fatalf("split %v\n got %s\nwant %s", parts, got, want)
		}
		ps.Release(s.st)
	}
}

// FuzzParse: any split of any input gives the events and the verdict of the slow
// reference. framed says that p is a script of frames, not the wire itself.
func FuzzParse(f *testing.F) {
	f.Add(wire(text("Hello"), textMore("a"), control(OpPing, "p"), cont("b"), closing(1000, "bye")), uint64(1), false, false)
	f.Add(wire(clientFrame{op: OpText, rsv: bitRsv1, payload: []byte("\xf2\x48\xcd\xc9\xc9\x07\x00")}), uint64(2), true, false)
	f.Add(wire(text(strings.Repeat("€", 100)), text("\xe2\x82")), uint64(3), false, false)
	f.Add([]byte("\x81\x05Hello\x01\x02\xe2\x82\x89\x01p\x80\x01\xac\x88\x02\x03\xe8"), uint64(4), false, true)
	f.Add([]byte("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x41\x02\xf2\x48\x80\x05\xcd\xc9\xc9\x07\x00"), uint64(5), true, true)
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\xff"), uint64(6), false, true)
	f.Add([]byte("\x82\xffx\x81\x01\xff"), uint64(7), false, true)
	lim := Limits{MessageBytes: 300, Fragments: 4}
	f.Fuzz(func(t *testing.T, p []byte, seed uint64, deflate, framed bool) {
		if framed {
			p = framesFrom(p)
		}
		if len(p) > 2000 {
			return
		}
		checkAgainstReference(t, p, deflate, lim, rand.New(rand.NewPCG(seed, 0)))
	})
}

// TestRandomConversations is FuzzParse for every test run: long conversations of
// mostly good frames.
func TestRandomConversations(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	lim := Limits{MessageBytes: 400, Fragments: 5}
	verdicts := map[string]int{}
	for range 400 {
		var script []byte
		open := false
		for range 1 + rng.IntN(12) {
			b0 := byte(bitFin)
			switch rng.IntN(8) {
			case 0:
				b0 |= byte(OpPing)
			case 1:
				b0 |= byte(OpPong)
			default:
				if rng.IntN(3) == 0 {
					b0 = 0
				}
				if !open {
					b0 |= byte(1 + rng.IntN(2))
				}
				open = b0&bitFin == 0
			}
			if rng.IntN(40) == 0 {
				b0 ^= 1 << rng.IntN(8)
			}
			body := []byte(strings.Repeat("aé€😀", rng.IntN(16)))
			if rng.IntN(3) == 0 {
				body = body[:rng.IntN(len(body)+1)]
			}
			script = append(append(script, b0, byte(len(body))), body...)
		}
		p := framesFrom(script)
		checkAgainstReference(t, p, false, lim, rng)
		verdict := "accepted"
		if err := slowParse(p, false, lim, newRecorder()); err != nil {
			verdict = err.Error()
		}
		verdicts[verdict]++
	}
	t.Logf("verdicts: %v", verdicts)
	if len(verdicts) < 4 {
		t.Error("the conversations are too much alike")
	}
}
