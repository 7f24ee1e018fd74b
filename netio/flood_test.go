package netio

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// TestAFloodDoesNotHoldTheLoop: a client that sends small messages as fast as it can has
// no more of a turn than one read, so that a command waits for as long at most.
func TestAFloodDoesNotHoldTheLoop(t *testing.T) {
	const messages, each = 8192, 16 // bytes on the wire
	var server atomic.Pointer[testServer]
	var handled, before atomic.Int64
	srv := startServer(t, func(c *Config) { c.Loops = 1 }, nil, func(s *echoSession) {
		s.onMessage = func(*echoSession, uint32, []byte) error {
			if handled.Add(1) == messages/2 { // by now the socket's queue is full
				server.Load().MustPost(0, 1, 0, nil)
			}
			for began := time.Now(); time.Since(began) < 10*time.Microsecond; { // what a relay costs, and more
			}
			return nil
		}
		s.onCommand = func(*echoSession, uint8, uint64, any) { before.Store(handled.Load()) }
	})
	server.Store(srv)
	c := srv.dial()
	c.wantText("hello")
	c.send(bytes.Repeat(maskedFrame(frame.OpText, true, []byte("0123456789")), messages))
	eventually(t, "all messages were handled", func() bool { return handled.Load() == messages && before.Load() > 0 })
	if waited := before.Load() - messages/2; waited > readBytes/each {
		t.Errorf("a command waited for %d messages, want at most %d", waited, readBytes/each)
	}
}
