package frame

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRFC6455Examples are the frames of RFC 6455 section 5.7.
func TestRFC6455Examples(t *testing.T) {
	t.Run("from the server", func(t *testing.T) {
		cases := []struct {
			name string
			got  []byte
			want string
		}{
			{"unmasked text", AppendFrame(nil, OpText, []byte("Hello")), "810548656c6c6f"},
			{"first fragment", append(AppendHeader(nil, false, false, OpText, 3), "Hel"...), "010348656c"},
			{"last fragment", append(AppendHeader(nil, true, false, OpContinuation, 2), "lo"...), "80026c6f"},
			{"ping", AppendFrame(nil, OpPing, []byte("Hello")), "890548656c6c6f"},
			{"256 bytes", AppendHeader(nil, true, false, OpBinary, 256), "827e0100"},
			{"64 KiB", AppendHeader(nil, true, false, OpBinary, 65536), "827f0000000000010000"},
		}
		for _, c := range cases {
			if got := hex.EncodeToString(c.got); got != c.want {
				t.Errorf("%s: got %s, want %s", c.name, got, c.want)
			}
		}
	})
	t.Run("from the client", func(t *testing.T) {
		masked, _ := hex.DecodeString("818537fa213d7f9f4d5158" + "8a8537fa213d7f9f4d5158")
		s := newSession(t)
		s.feed(masked)
		s.want(`text "Hello"`, `pong "Hello"`)
		s.wantIdle()
	})
}

func TestHeaderLen(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 24} {
		if got, want := HeaderLen(n), len(AppendHeader(nil, true, true, OpText, n)); got != want {
			t.Errorf("%d: %d, header has %d", n, got, want)
		}
	}
	if h := AppendHeader(nil, true, true, OpText, 1); h[0] != 0xc1 {
		t.Errorf("RSV1 header begins with %02x", h[0])
	}
}

// TestUnmask compares with the definition of RFC 6455 section 5.3 at every length
// and alignment around the block sizes.
func TestUnmask(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	buf := make([]byte, 400)
	for i := range buf {
		buf[i] = byte(rng.Uint32())
	}
	mask := uint32(0xd421fa37)
	key := [4]byte{0x37, 0xfa, 0x21, 0xd4}
	for offset := range 17 {
		for n := range 300 {
			p := bytes.Clone(buf)
			unmask(p[offset:offset+n], mask)
			for i, c := range buf {
				want := c
				if i >= offset && i < offset+n {
					want ^= key[(i-offset)%4]
				}
				if p[i] != want {
					t.Fatalf("offset %d, length %d: byte %d", offset, n, i)
				}
			}
		}
	}
}

// TestUnmaskInPieces: a payload cut anywhere twice comes out the same.
func TestUnmaskInPieces(t *testing.T) {
	whole := []byte(strings.Repeat("the mask goes on where it was. ", 7))
	want := bytes.Clone(whole)
	mask := uint32(0x01020304)
	unmask(want, mask)
	for i := 0; i <= len(whole); i += 3 {
		for j := i; j <= len(whole); j += 5 {
			p, m := bytes.Clone(whole), mask
			for _, part := range [][]byte{p[:i], p[i:j], p[j:]} {
				unmask(part, m)
				m = advanceMask(m, len(part))
			}
			if !bytes.Equal(p, want) {
				t.Fatalf("cut at %d and %d", i, j)
			}
		}
	}
}
