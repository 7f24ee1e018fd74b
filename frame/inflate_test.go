package frame

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// deflated compresses with the standard library, as RFC 7692 section 7.2.1 says.
func deflated(t testing.TB, level int, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		_, _ = w.Write([]byte(p))
		_ = w.Flush()
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// TestRFC7692Examples are the payloads of RFC 7692 section 7.2.3, all of them
// "Hello", in one frame and in two.
func TestRFC7692Examples(t *testing.T) {
	cases := []struct{ name, payload string }{
		{"7.2.3.1 one block", "f2 48 cd c9 c9 07 00"},
		{"7.2.3.3 stored block", "00 05 00 fa ff 48 65 6c 6c 6f 00"},
		{"7.2.3.4 BFINAL", "f3 48 cd c9 c9 07 00 00"},
		{"7.2.3.5 two blocks", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00"},
	}
	for _, c := range cases {
		payload := unhex(t, c.payload)
		t.Run(c.name, func(t *testing.T) {
			deflate := func(s *session) { s.deflate = true }
			everySplit(t, wire(clientFrame{op: OpText, rsv: bitRsv1, payload: payload}), deflate, func(s *session) {
				s.want(`text "Hello"`)
				s.wantIdle()
			})
			for cut := 0; cut <= len(payload); cut++ {
				s := newSession(t)
				s.deflate = true
				s.feed(wire(clientFrame{op: OpText, rsv: bitRsv1, more: true, payload: payload[:cut]},
					control(OpPing, "between"), clientFrame{payload: payload[cut:]}))
				s.want("fragment", `ping "between"`, `text "Hello"`)
				s.wantIdle()
			}
		})
	}
	t.Run("7.2.3.6 empty", func(t *testing.T) {
		s := newSession(t)
		s.deflate = true
		s.feed(wire(clientFrame{op: OpText, rsv: bitRsv1, payload: []byte{0}}))
		s.want(`text ""`)
		s.wantIdle()
	})
}

// TestInflateForms: forms of a message that clients may choose.
func TestInflateForms(t *testing.T) {
	hello := strings.Repeat("Hello, compressed world! ", 40)
	stored := deflated(t, flate.NoCompression, hello)
	huffman := deflated(t, flate.HuffmanOnly, hello)
	var behind bytes.Buffer
	w, _ := flate.NewWriterDict(&behind, 9, []byte("Hello"))
	_, _ = w.Write([]byte("Hello Hello Hello"))
	_ = w.Flush()
	behind.Truncate(behind.Len() - inflateTail)
	cases := []struct {
		name    string
		payload []byte
		want    string
	}{
		{"best", deflated(t, flate.BestCompression, hello), hello},
		{"stored blocks only", stored, hello},
		{"Huffman only", huffman, hello},
		{"flushed after each word", deflated(t, 6, strings.SplitAfter(hello, " ")...), hello},
		{"BFINAL without the empty block behind it", unhex(t, "f3 48 cd c9 c9 07 00"), "Hello"},
		{"empty final block that the tail completes", unhex(t, "f2 48 cd c9 c9 07 00 00 00 ff ff 01"), "Hello"},
		{"a final block, then another", unhex(t, "f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00"), "HelloHello"},
		{"many final blocks", bytes.Repeat(unhex(t, "f3 48 cd c9 c9 07 00"), maxFinals), strings.Repeat("Hello", maxFinals)},
		{"history across a final block", append(unhex(t, "f3 48 cd c9 c9 07 00"), behind.Bytes()...), "HelloHello Hello Hello"},
		{"no byte at all", nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var f inflater
			got, err := f.inflate(c.payload, 16<<10)
			if err != nil || string(got) != c.want {
				t.Fatalf("error %v, got %q", err, got)
			}
		})
	}
}

func TestInflateRefused(t *testing.T) {
	hello := unhex(t, "f2 48 cd c9 c9 07 00")
	long := deflated(t, 6, strings.Repeat("some text to compress, ", 30)+"and its end")
	cases := []struct {
		name    string
		payload []byte
	}{
		{"reserved block type", unhex(t, "06")},
		{"noise", unhex(t, "de ad be ef 00 11 22 33")},
		{"cut in the middle", long[:len(long)/2]},
		{"last byte missing", long[:len(long)-1]},
		{"stored block shorter than its length", unhex(t, "00 ff 00 00 ff 48 65")},
		{"stored block with a wrong complement", unhex(t, "00 05 00 fb ff 48 65 6c 6c 6f 00")},
		{"history of a message before (7.2.3.2)", unhex(t, "f2 00 11 00 00")},
		{"distance beyond the beginning", unhex(t, "4b 04 42 00 00")},
		{"tail already there", append(bytes.Clone(hello), 0, 0, 0xff, 0xff, 0xff)},
		{"noise behind a final block", unhex(t, "f3 48 cd c9 c9 07 00 ff")},
		{"too many final blocks", append(bytes.Repeat(unhex(t, "03 00"), maxFinals+1), 0)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			s.deflate = true
			s.feed(wire(clientFrame{op: OpBinary, rsv: bitRsv1, payload: c.payload}))
			s.wantRefused(1002, errDeflate)
			s.want()
		})
	}
}

// TestInflateLimit: the limit is exact, counts inflated bytes, and holds for a
// message that is far smaller on the wire.
func TestInflateLimit(t *testing.T) {
	for _, limit := range []int{1, 100, 4096, 16 << 10, 100 << 10} {
		for _, over := range []int{-1, 0, 1, 1000} {
			t.Run(fmt.Sprintf("limit %d%+d", limit, over), func(t *testing.T) {
				s := newSession(t)
				s.deflate, s.lim.MessageBytes = true, limit
				n := limit + over
				s.feed(wire(clientFrame{op: OpBinary, rsv: bitRsv1, payload: deflated(t, 6, strings.Repeat("a", n))}))
				if over > 0 {
					s.wantRefused(1009, errInflated)
					return
				}
				s.wantIdle()
				if want := fmt.Sprintf("binary %x", strings.Repeat("a", n)); s.events[0] != want {
					t.Fatal("payload differs")
				}
			})
		}
	}
}

// TestInflateBomb: 64 MiB of zeros cost the memory of one message at the limit.
func TestInflateBomb(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush()
	bomb := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})

	var f inflater
	_, err := f.inflate(bomb, 16<<10)
	if !errors.Is(err, errInflated) {
		t.Fatal(err)
	}
	if cap(f.out) > 16<<10+1 {
		t.Errorf("%d bytes kept", cap(f.out))
	}
	allocs := testing.AllocsPerRun(20, func() {
		if _, err := f.inflate(bomb[:8<<10], 16<<10); !errors.Is(err, errInflated) {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("refusing a bomb allocates %v times", allocs)
	}
	t.Logf("%d bytes on the wire for %d", len(bomb), 64<<20)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestCompressedSizeOnTheWire: blocks that inflate to nothing are bounded too.
func TestCompressedSizeOnTheWire(t *testing.T) {
	s := newSession(t)
	s.deflate = true
	empty := bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 10<<10)
	s.feed(wire(clientFrame{op: OpText, rsv: bitRsv1, payload: empty}))
	s.wantRefused(1009, errTooLong)

	// What cannot be compressed still fits with its overhead.
	noise := make([]byte, testLimits.MessageBytes)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		s := newSession(t)
		s.deflate = true
		s.feed(wire(clientFrame{op: OpBinary, rsv: bitRsv1, payload: deflated(t, level, string(noise))}))
		s.wantIdle()
	}
}

// TestInflatedTextIsChecked: UTF-8 is checked behind the inflater.
func TestInflatedTextIsChecked(t *testing.T) {
	s := newSession(t)
	s.deflate = true
	s.feed(wire(clientFrame{op: OpText, rsv: bitRsv1, payload: deflated(t, 6, "bad \xff text")}))
	s.wantRefused(1007, errTextUTF8)
}

// TestPlainMessagesBetweenCompressedOnes: RSV1 decides for each message alone.
func TestPlainMessagesBetweenCompressedOnes(t *testing.T) {
	s := newSession(t)
	s.deflate = true
	s.feed(wire(text("plain"), clientFrame{op: OpText, rsv: bitRsv1, payload: deflated(t, 6, "small")}, text("plain"),
		textMore("pla"), cont("in")))
	s.want(`text "plain"`, `text "small"`, `text "plain"`, "fragment", `text "plain"`)
	s.wantIdle()
}

// TestRsv1OnContinuation: RFC 7692 section 6.1, also inside a compressed message.
func TestRsv1OnContinuation(t *testing.T) {
	s := newSession(t)
	s.deflate = true
	p := deflated(t, 6, "small")
	s.feed(wire(clientFrame{op: OpText, rsv: bitRsv1, more: true, payload: p[:2]}, clientFrame{rsv: bitRsv1, payload: p[2:]}))
	s.wantRefused(1002, errReservedBit)
}

// TestInflaterIsClean: a refused message leaves nothing that shows in the next.
func TestInflaterIsClean(t *testing.T) {
	var f inflater
	good := deflated(t, 6, "good message")
	for _, bad := range [][]byte{unhex(t, "06"), deflated(t, 6, strings.Repeat("x", 1<<20)), good[:3], unhex(t, "f2 00 11 00 00")} {
		if _, err := f.inflate(bad, 1<<10); err == nil {
			t.Fatalf("%x accepted", bad[:2])
		}
		got, err := f.inflate(good, 1<<10)
		if err != nil || string(got) != "good message" {
			t.Fatalf("%q, %v", got, err)
		}
		f.trim()
	}
}

// TestNoTableOfAnotherMessage: a block that announces no distance code and then
// uses one is corrupt, whatever tables the message before it had.
func TestNoTableOfAnotherMessage(t *testing.T) {
	corrupt := []byte("\xec\xc2\x01\t\x00\x00\f\x02\xb0\xac\xbf\xfd;\xd8C\x06$Y\x00Y\x00Y\x00Y\x00!0 \x00")
	var f inflater
	if _, err := f.inflate(deflated(t, 9, strings.Repeat("abc", 3000)), 9000); err != nil {
		t.Fatal(err)
	}
	if got, err := f.inflate(corrupt, 9000); err != errDeflate {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}

// slowInflate is the same contract with a new decoder for every stream and no
// pools.
func slowInflate(p []byte, limit int) (string, error) {
	if len(p) == 0 {
		return "", nil
	}
	rest := append(bytes.Clone(p), inflateEnd...)
	var out []byte
	for range maxFinals {
		r := bytes.NewReader(rest)
		d := flate.NewReaderDict(r, out)
		part, err := io.ReadAll(io.LimitReader(d, int64(limit-len(out)+1)))
		out = append(out, part...)
		if len(out) > limit {
			return "", errInflated
		}
		if err != nil {
			return "", errDeflate
		}
		rest = rest[len(rest)-r.Len():]
		switch {
		case len(rest) == 0 || len(rest) == 5 || len(rest) == 9:
			return string(out), nil
		case len(rest) < 9:
			return "", errDeflate
		}
	}
	return "", errDeflate
}

// FuzzInflate compares with the standard library on any payload and limit, and
// checks that what our own deflater makes comes back.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{"f2 48 cd c9 c9 07 00", "00 05 00 fa ff 48 65 6c 6c 6f 00", "f3 48 cd c9 c9 07 00 00",
		"f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "00", "f2 00 11 00 00", "06", "03 00 03 00 03 00 00"} {
		f.Add(unhex(f, s), uint16(1000))
	}
	f.Add(deflated(f, 9, strings.Repeat("abc", 3000)), uint16(9000))
	var fast inflater
	d := NewDeflater()
	f.Fuzz(func(t *testing.T, p []byte, limit uint16) {
		if len(p) > 64<<10 {
			return
		}
		want, wantErr := slowInflate(p, int(limit))
		got, err := fast.inflate(p, int(limit))
		if err != wantErr || string(got) != want {
			t.Fatalf("got %d bytes, %v; want %d bytes, %v", len(got), err, len(want), wantErr)
		}
		fast.trim()

		back, err := fast.inflate(d.compress(p), len(p))
		if err != nil || !bytes.Equal(back, p) {
			t.Fatalf("own deflater: %v", err)
		}
		fast.trim()

		cut := len(p) / 2
		joined := &Prepared{Plain: AppendDeflatedFrame(nil, OpText, d.AppendStart(nil, p[:cut]), p[cut:])}
		_, payload := joined.split()
		if back, err = fast.inflate(payload, len(p)); err != nil || !bytes.Equal(back, p) {
			t.Fatalf("a start and an end joined: %v", err)
		}
		fast.trim()
	})
}
