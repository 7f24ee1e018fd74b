//go:build !invariants

// Budgets hold for release builds: those with -tags invariants pay for their
// checks.

package frame

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// clientEvent is what a client sends most.
const clientEvent = `{"event":"client-typing","channel":"presence-room.17","data":{"x":1,"y":2}}`

// TestAllocations: the paths that every connection takes all the time allocate
// nothing once they are warm.
func TestAllocations(t *testing.T) {
	ps, s, scratch := NewParser(), &catcher{}, make([]byte, 0, 1<<20)
	parse := func(deflate bool, parts ...[]byte) func() {
		return func() {
			var st *State
			for _, p := range parts {
				var err error
				if _, st, err = ps.Parse(st, deflate, testLimits, append(scratch[:0], p...), s); err != nil {
					t.Fatal(err)
				}
			}
			if st != nil {
				t.Fatal("state kept")
			}
		}
	}
	whole := wire(text(clientEvent))
	fragments := wire(textMore(clientEvent[:30]), control(OpPing, "p"), cont(clientEvent[30:]))
	compressed := wire(clientFrame{op: OpText, rsv: bitRsv1, payload: deflated(t, 6, clientEvent)})
	unmasked := []byte{0x81, 0x01, 'a'}
	head, upgrade := []byte(chromeUpgrade), make([]byte, 0, 512)
	key, offer := []byte("dGhlIHNhbXBsZSBub25jZQ=="), []byte("permessage-deflate; client_max_window_bits")
	d, event := NewDeflater(), eventText(1000)

	cases := []struct {
		name string
		run  func()
	}{
		{"whole frame", parse(false, whole)},
		{"32 frames at once", parse(false, bytes.Repeat(whole, 32))},
		{"ping", parse(false, wire(control(OpPing, "p")))},
		{"frame in two reads", parse(false, whole[:40], whole[40:])},
		{"header in two reads", parse(false, whole[:1], whole[1:])},
		{"fragments with a ping between, byte by byte", parse(false, bytewiseParts(fragments)...)},
		{"compressed frame", parse(true, compressed)},
		{"refused frame", func() {
			if _, _, err := ps.Parse(nil, false, testLimits, unmasked, s); err == nil {
				t.Fatal("accepted")
			}
		}},
		{"head of a browser", func() {
			var h Head
			if err := h.Parse(head, headLimits); err != nil {
				t.Fatal(err)
			}
		}},
		{"search for the end of a head", func() { HeadComplete(head, 0) }},
		{"offer of a browser", func() { NegotiateDeflate(offer) }},
		{"101", func() { upgrade = AppendUpgrade(upgrade[:0], key, deflateAnswer) }},
		{"frame out", func() { scratch = AppendFrame(scratch[:0], OpText, event) }},
		{"close out", func() { scratch = AppendClose(scratch[:0], Slow) }},
		{"compressed frame out", func() { scratch = d.AppendFrame(scratch[:0], OpText, event) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.run() // warm
			if n := testing.AllocsPerRun(200, c.run); n > 0 {
				t.Errorf("allocates %v times", n)
			}
		})
	}
	t.Run("event prepared once", func(t *testing.T) {
		if n := testing.AllocsPerRun(200, func() { Prepare(OpText, event).Deflate(d, 256) }); n > 3 {
			t.Errorf("allocates %v times, budget 3: the event and its two frames", n)
		}
	})
	t.Run("batch", func(t *testing.T) {
		ps := []*Prepared{Prepare(OpText, event), Prepare(OpText, event)}
		if n := testing.AllocsPerRun(200, func() { NewBatch(ps, true) }); n > 2 {
			t.Errorf("allocates %v times, budget 2: the batch and its run", n)
		}
	})
}

func bytewiseParts(p []byte) [][]byte {
	var parts [][]byte
	for i := range p {
		parts = append(parts, p[i:i+1])
	}
	return parts
}

// BenchmarkParse is whole frames in one read. The frame is copied in before each
// turn, since it is unmasked where it lies.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{16, len(clientEvent), 1000, 16 << 10} {
		frame := wire(text(strings.Repeat(clientEvent, n/len(clientEvent)+1)[:n]))
		b.Run(fmt.Sprintf("text/%d", n), func(b *testing.B) { benchmarkParse(b, frame, false) })
	}
	b.Run("ping", func(b *testing.B) { benchmarkParse(b, wire(control(OpPing, "")), false) })
	for _, n := range []int{len(clientEvent), 1000} {
		frame := wire(clientFrame{op: OpText, rsv: bitRsv1, payload: deflated(b, 6, string(eventText(n)))})
		b.Run(fmt.Sprintf("compressed/%d", n), func(b *testing.B) { benchmarkParse(b, frame, true) })
	}
}

func benchmarkParse(b *testing.B, frame []byte, deflate bool) {
	ps, s, buf := NewParser(), &catcher{}, make([]byte, len(frame))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		copy(buf, frame)
		if _, _, err := ps.Parse(nil, deflate, testLimits, buf, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseInParts is a frame that comes in two reads.
func BenchmarkParseInParts(b *testing.B) {
	frame := wire(text(clientEvent))
	ps, s, buf := NewParser(), &catcher{}, make([]byte, len(frame))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frame)
		_, st, _ := ps.Parse(nil, false, testLimits, buf[:40], s)
		if _, _, err := ps.Parse(st, false, testLimits, buf[40:], s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseLarge is a large message in reads of 64 KiB. Its throughput must
// not fall with its size.
func BenchmarkParseLarge(b *testing.B) {
	for _, n := range []int{1 << 20, 4 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dMiB", n>>20), func(b *testing.B) {
			frame := wire(clientFrame{op: OpBinary, payload: make([]byte, n)})
			ps, s, lim := NewParser(), &catcher{}, Limits{MessageBytes: 16 << 20, Fragments: 1}
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				var st *State
				for p := frame; len(p) > 0; {
					k := min(64<<10, len(p))
					var err error
					if _, st, err = ps.Parse(st, false, lim, p[:k], s); err != nil {
						b.Fatal(err)
					}
					p = p[k:]
				}
			}
			if s.messages != b.N {
				b.Fatalf("%d messages in %d turns", s.messages, b.N)
			}
		})
	}
}

func BenchmarkHead(b *testing.B) {
	p := []byte(chromeUpgrade)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var h Head
			if err := h.Parse(p, headLimits); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("complete", func(b *testing.B) {
		for b.Loop() {
			if !HeadComplete(p, 0) {
				b.Fatal("not found")
			}
		}
	})
	b.Run("answer", func(b *testing.B) {
		key, offer, out := []byte("dGhlIHNhbXBsZSBub25jZQ=="), []byte("permessage-deflate; client_max_window_bits"), make([]byte, 0, 512)
		b.ReportAllocs()
		for b.Loop() {
			answer, _ := NegotiateDeflate(offer)
			out = AppendUpgrade(out[:0], key, answer)
		}
	})
}

// BenchmarkDeflate reports what is left of an event beside the time.
func BenchmarkDeflate(b *testing.B) {
	for _, n := range []int{300, 1000, 10 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, event, out := NewDeflater(), eventText(n), make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				out = d.AppendFrame(out[:0], OpText, event)
			}
			b.ReportMetric(100*float64(len(out))/float64(n), "%left")
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	event := eventText(165)
	b.ReportAllocs()
	for b.Loop() {
		Prepare(OpText, event)
	}
}

func BenchmarkBatch32(b *testing.B) {
	ps := make([]*Prepared, 32)
	for i := range ps {
		ps[i] = Prepare(OpText, eventText(165))
	}
	b.ReportAllocs()
	for b.Loop() {
		NewBatch(ps, true)
	}
}
