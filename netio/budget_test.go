//go:build !invariants && !race

// Checks and race detection have a memory of their own; budgets hold without.

package netio

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/valyala/fasthttp"
)

// budgetTurns is what one run of a budget does of its thing, so that what a wake-up or
// the runtime allocates in the background is a small part of one.
const budgetTurns = 1000

// TestAllocations: what frames and requests allocate once their connection is warm, on
// real sockets. Half an allocation is the slack for what else runs.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		what   string
		run    func()
		budget float64
		of     string
	}{
		{"a frame that is delivered", delivering(t), 0, ""},
		{"a frame that is received", receiving(t), 0, ""},
		{"a request of the HTTP door", requesting(t), 1, "netpoll's task"},
	} {
		c.run()
		if n := testing.AllocsPerRun(5, c.run) / budgetTurns; n > c.budget+0.5 {
			t.Errorf("%s allocates %.2f times, budget %v: %s", c.what, n, c.budget, c.of)
		}
	}
}

// delivering has a loop deliver one prepared frame again and again, to a client that
// reads it.
func delivering(t *testing.T) func() {
	batch := frame.NewBatch([]*frame.Prepared{frame.Prepare(frame.OpText, pattern(1, 150))}, false)
	var conn atomic.Uint32
	srv := startServer(t, func(c *Config) { c.Loops = 1 }, nil, func(s *echoSession) {
		s.onMessage = func(_ *echoSession, slot uint32, _ []byte) error { conn.Store(slot); return nil }
		s.onCommand = func(s *echoSession, _ uint8, arg uint64, _ any) {
			if !s.conns.Deliver(uint32(arg), batch) {
				t.Error("a frame was not delivered")
			}
		}
	})
	c := srv.dial()
	c.wantText("hello")
	c.sendText("which am I")
	eventually(t, "the connection is known", func() bool { return conn.Load() != 0 })
	read := reading(t, c.r)
	return func() {
		for range budgetTurns {
			srv.MustPost(0, 1, uint64(conn.Load()), nil)
			read(len(batch.Plain))
		}
	}
}

// receiving sends frames that the session only counts.
func receiving(t *testing.T) func() {
	var received atomic.Int64
	srv := startServer(t, func(c *Config) { c.Loops = 1 }, nil, func(s *echoSession) {
		s.onMessage = func(*echoSession, uint32, []byte) error { received.Add(1); return nil }
	})
	c := srv.dial()
	c.wantText("hello")
	frames := bytes.Repeat(maskedFrame(frame.OpText, true, pattern(1, 75)), 10)
	return func() {
		want := received.Load()
		for range budgetTurns / 10 {
			c.send(frames)
			want += 10
			for received.Load() < want {
				time.Sleep(50 * time.Microsecond) // between two looks at what the loop counts
			}
		}
	}
}

// requesting asks one thing again and again on a connection that is kept.
func requesting(t *testing.T) func() {
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{}`) })
		cfg.Now = newClock().now
		cfg.Log = slog.New(slog.DiscardHandler)
	})
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	request := []byte("POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
	ask := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	room := make([]byte, 4<<10)
	size, err := c.Read(room) // every answer is as long as the first
	if err != nil {
		t.Fatal(err)
	}
	read := reading(t, c)
	return func() {
		for range budgetTurns {
			ask()
			read(size)
		}
	}
}

// reading reads n bytes of r into memory that it has.
func reading(t *testing.T, r io.Reader) func(n int) {
	room := make([]byte, 4<<10)
	return func(n int) {
		if _, err := io.ReadFull(r, room[:n]); err != nil {
			t.Fatal(err)
		}
	}
}
