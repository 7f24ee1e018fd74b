package frame

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// eventText is JSON like the events of an application, n bytes of it.
func eventText(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"event":"App\\Events\\OrderShipped","channel":"private-orders.17","data":"`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{\"order\":%d,\"state\":\"shipped\",\"items\":[{\"sku\":\"A-%04d\",\"price\":%d.99}]}`, 1000+i*7, i*37%1000, i*13%97)
	}
	return b.Bytes()[:n]
}

// openFrame splits a server's frame and inflates its payload with the standard
// library when RSV1 is set.
func openFrame(t testing.TB, p []byte) (op Opcode, rsv1 bool, payload, rest []byte) {
	t.Helper()
	pr := Prepared{Plain: p}
	op, body := pr.split()
	n := int(p[1])
	switch p[1] {
	case len16:
		n = int(p[2])<<8 | int(p[3])
	case len64:
		n = int(p[6])<<24 | int(p[7])<<16 | int(p[8])<<8 | int(p[9])
	}
	if p[0]&bitFin == 0 || p[0]&(bitsRsv&^bitRsv1) != 0 || p[1]&bitMask != 0 || len(body) < n {
		t.Fatalf("not a whole server frame: % x…", p[:2])
	}
	body, rest = body[:n], body[n:]
	if p[0]&bitRsv1 == 0 {
		return op, false, body, rest
	}
	in := append(bytes.Clone(body), inflateEnd...)
	out, err := io.ReadAll(flate.NewReader(bytes.NewReader(in)))
	if err != nil {
		t.Fatalf("inflate: %v", err)
	}
	return op, true, out, rest
}

func TestDeflaterRoundTrip(t *testing.T) {
	d := NewDeflater()
	noise := make([]byte, 200<<10)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for _, p := range [][]byte{nil, []byte("a"), []byte("Hello"), eventText(33), eventText(129), eventText(300), eventText(10 << 10),
		noise[:1], noise[:1000], noise, bytes.Repeat([]byte("ab"), 1<<20)} {
		for _, op := range []Opcode{OpText, OpBinary} {
			gotOp, rsv1, got, rest := openFrame(t, d.AppendFrame([]byte{}, op, p))
			if gotOp != op || !rsv1 || !bytes.Equal(got, p) || len(rest) != 0 {
				t.Fatalf("%d bytes: op %d, rsv1 %v, %d bytes back", len(p), gotOp, rsv1, len(got))
			}
		}
		if d.out.Cap() > maxBuffer {
			t.Fatalf("%d bytes kept after a message of %d", d.out.Cap(), len(p))
		}
	}
}

// TestNoContextTakeover: the second of two equal messages stands alone.
func TestNoContextTakeover(t *testing.T) {
	d := NewDeflater()
	first := d.AppendFrame(nil, OpText, eventText(1000))
	second := d.AppendFrame(nil, OpText, eventText(1000))
	if !bytes.Equal(first, second) {
		t.Fatalf("frames of %d and %d bytes differ", len(first), len(second))
	}
}

func TestDeflaterLeavesControlPlain(t *testing.T) {
	got := NewDeflater().AppendFrame([]byte("x"), OpPing, []byte("p"))
	if string(got) != "x\x89\x01p" {
		t.Fatalf("%q", got)
	}
}

func TestPreparedDeflate(t *testing.T) {
	noise := make([]byte, 1000)
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	cases := []struct {
		name    string
		payload []byte
		want    bool
	}{
		{"small", eventText(100), false},
		{"exactly the minimum", eventText(256), false},
		{"over the minimum", eventText(257), true},
		{"does not pay", noise, false},
		{"over 64 KiB", eventText(70 << 10), true},
		{"empty", nil, false},
	}
	d := NewDeflater()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := Prepare(OpText, c.payload)
			p.Deflate(d, 256)
			if op, rsv1, got, rest := openFrame(t, p.Plain); op != OpText || rsv1 || !bytes.Equal(got, c.payload) || len(rest) != 0 {
				t.Fatal("plain frame is wrong")
			}
			if (p.Deflated != nil) != c.want {
				t.Fatalf("deflated: %d bytes, want %v", len(p.Deflated), c.want)
			}
			if !c.want {
				return
			}
			if op, rsv1, got, rest := openFrame(t, p.Deflated); op != OpText || !rsv1 || !bytes.Equal(got, c.payload) || len(rest) != 0 {
				t.Fatal("deflated frame is wrong")
			}
			if len(p.Deflated) >= len(p.Plain) || cap(p.Deflated) != len(p.Deflated) {
				t.Fatalf("deflated %d of %d, plain %d", len(p.Deflated), cap(p.Deflated), len(p.Plain))
			}
		})
	}
}

func TestNewBatch(t *testing.T) {
	d := NewDeflater()
	small, large := Prepare(OpText, []byte("small")), Prepare(OpText, eventText(2000))
	large.Deflate(d, 256)

	t.Run("one shares its bytes", func(t *testing.T) {
		b := NewBatch([]*Prepared{large}, true)
		if &b.Plain[0] != &large.Plain[0] || &b.Deflated[0] != &large.Deflated[0] || b.Messages != 1 {
			t.Fatal("copied")
		}
		if b := NewBatch([]*Prepared{large}, false); b.Deflated != nil {
			t.Fatal("a compressed run nobody asked for")
		}
	})
	t.Run("several are joined in order", func(t *testing.T) {
		b := NewBatch([]*Prepared{small, large, small}, true)
		if want := string(small.Plain) + string(large.Plain) + string(small.Plain); string(b.Plain) != want {
			t.Error("plain run is wrong")
		}
		if want := string(small.Plain) + string(large.Deflated) + string(small.Plain); string(b.Deflated) != want {
			t.Error("deflated run is wrong")
		}
		if b.Messages != 3 || cap(b.Plain) != len(b.Plain) || cap(b.Deflated) != len(b.Deflated) {
			t.Errorf("%d messages, plain %d of %d", b.Messages, len(b.Plain), cap(b.Plain))
		}
	})
	t.Run("no compressed run without a difference or a reader", func(t *testing.T) {
		if b := NewBatch([]*Prepared{small, small}, true); b.Deflated != nil {
			t.Error("built although nothing differs")
		}
		if b := NewBatch([]*Prepared{small, large}, false); b.Deflated != nil {
			t.Error("built although nobody reads it")
		}
	})
	t.Run("none", func(t *testing.T) {
		if b := NewBatch(nil, true); b.Messages != 0 || len(b.Plain) != 0 || b.Deflated != nil {
			t.Errorf("%+v", b)
		}
	})
}

// negotiations are fields of Sec-WebSocket-Extensions and their answers; "" =
// none.
var negotiations = []struct{ name, offer, want string }{
	{"browsers", "permessage-deflate; client_max_window_bits", deflateAnswer},
	{"bare", "permessage-deflate", deflateAnswer},
	{"all context parameters", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", deflateAnswer},
	{"client window with a value", "permessage-deflate; client_max_window_bits=10", deflateAnswer},
	{"smallest client window", "permessage-deflate; client_max_window_bits=8", deflateAnswer},
	{"full server window", "permessage-deflate; server_max_window_bits=15", deflateAnswerWindow},
	{"quoted value", `permessage-deflate; server_max_window_bits="15"`, deflateAnswerWindow},
	{"no blanks", "permessage-deflate;server_max_window_bits=15;client_max_window_bits", deflateAnswerWindow},
	{"blanks everywhere", "\tpermessage-deflate ;\tclient_max_window_bits = 9 ", deflateAnswer},
	{"second offer", "permessage-deflate; server_max_window_bits=10, permessage-deflate", deflateAnswer},
	{"behind another extension", "x-webkit-deflate-frame, permessage-deflate", deflateAnswer},
	{"another extension behind", "permessage-deflate, foo; bar=1", deflateAnswer},
	{"first of two good offers", "permessage-deflate; server_max_window_bits=15, permessage-deflate", deflateAnswerWindow},

	{"nothing", "", ""},
	{"blank", " ", ""},
	{"another extension", "foo; bar", ""},
	{"wrong case", "Permessage-Deflate", ""},
	{"name with something behind", "permessage-deflate2", ""},
	{"server window 14", "permessage-deflate; server_max_window_bits=14", ""},
	{"server window 8", "permessage-deflate; server_max_window_bits=8", ""},
	{"server window without value", "permessage-deflate; server_max_window_bits", ""},
	{"server window empty", "permessage-deflate; server_max_window_bits=", ""},
	{"server window leading zero", "permessage-deflate; server_max_window_bits=015", ""},
	{"server window 16", "permessage-deflate; server_max_window_bits=16", ""},
	{"client window 7", "permessage-deflate; client_max_window_bits=7", ""},
	{"client window 16", "permessage-deflate; client_max_window_bits=16", ""},
	{"client window 09", "permessage-deflate; client_max_window_bits=09", ""},
	{"client window +9", "permessage-deflate; client_max_window_bits=+9", ""},
	{"client window empty string", `permessage-deflate; client_max_window_bits=""`, ""},
	{"context with a value", "permessage-deflate; server_no_context_takeover=1", ""},
	{"client context with a value", "permessage-deflate; client_no_context_takeover=true", ""},
	{"unknown parameter", "permessage-deflate; fast", ""},
	{"parameter twice", "permessage-deflate; client_max_window_bits; client_max_window_bits=10", ""},
	{"context twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
	{"trailing semicolon", "permessage-deflate;", ""},
	{"double semicolon", "permessage-deflate;; client_max_window_bits", ""},
	{"trailing comma", "permessage-deflate,", ""},
	{"leading comma", ", permessage-deflate", ""},
	{"only a parameter", "; client_max_window_bits", ""},
	{"no name before the equals sign", "permessage-deflate; =15", ""},
	{"two words", "permessage-deflate client_max_window_bits", ""},
	{"quote not closed", `permessage-deflate; server_max_window_bits="15`, ""},
	{"comma in quotes", `foo; a="x, permessage-deflate", permessage-deflate`, ""},
	{"malformed behind a good offer", "permessage-deflate, ;", ""},
	{"noise", "\x00\xff", ""},
}

func TestNegotiateDeflate(t *testing.T) {
	for _, c := range negotiations {
		t.Run(c.name, func(t *testing.T) {
			got, ok := NegotiateDeflate([]byte(c.offer))
			if got != c.want || ok != (c.want != "") {
				t.Fatalf("got %q %v, want %q", got, ok, c.want)
			}
		})
	}
}

// FuzzNegotiateDeflate holds every answer against what RFC 7692 section 7.1 asks
// of it: the offer must contain, between commas, an element that it can answer.
func FuzzNegotiateDeflate(f *testing.F) {
	for _, c := range negotiations {
		f.Add(c.offer)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		got, ok := NegotiateDeflate([]byte(offer))
		again, okAgain := NegotiateDeflate([]byte(offer))
		if got != again || ok != okAgain || ok != (got != "") {
			t.Fatalf("%q %v, then %q %v", got, ok, again, okAgain)
		}
		if !ok {
			return
		}
		if got != deflateAnswer && got != deflateAnswerWindow {
			t.Fatalf("answer %q", got)
		}
		if !answerable(offer, got == deflateAnswerWindow) {
			t.Fatalf("%q answered with %q", offer, got)
		}
	})
}

// answerable looks for an element that justifies the answer, without caring for
// the others. A comma inside quotes makes a header that is never accepted.
func answerable(offer string, window bool) bool {
	trim := func(s string) string { return strings.Trim(s, " \t") }
	for element := range strings.SplitSeq(offer, ",") {
		parts := strings.Split(element, ";")
		if trim(parts[0]) != "permessage-deflate" {
			continue
		}
		seen, good := map[string]string{}, true
		for _, p := range parts[1:] {
			name, value, has := strings.Cut(p, "=")
			name, value = trim(name), strings.Trim(trim(value), `"`)
			if _, twice := seen[name]; twice {
				good = false
			}
			seen[name] = value
			switch name {
			case "server_no_context_takeover", "client_no_context_takeover":
				good = good && !has
			case "server_max_window_bits":
				good = good && value == "15"
			case "client_max_window_bits":
				good = good && (!has || strings.Contains(" 8 9 10 11 12 13 14 15 ", " "+value+" ") && value != "")
			default:
				good = false
			}
		}
		_, asked := seen["server_max_window_bits"]
		if good && asked == window {
			return true
		}
	}
	return false
}
