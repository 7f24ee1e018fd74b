package netio

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestBusyIsALoopThatHasNoRest: a loop that works is busy after a while, one that
// sleeps is not, however often it wakes.
func TestBusyIsALoopThatHasNoRest(t *testing.T) {
	var working atomic.Bool
	srv := startServer(t, nil, nil, func(s *echoSession) {
		s.work = func(*echoSession) bool { return working.Load() }
	})
	eventually(t, "the loops sleep", func() bool { return !srv.Busy(0) })
	c := srv.dial()
	c.wantText("hello")
	for range 20 {
		c.sendText("echo")
		c.wantText("echo")
	}
	if srv.Busy(10 * time.Second) {
		t.Error("a loop is busy for longer than the test")
	}
	working.Store(true)
	c.sendText("wakes its loop")
	eventually(t, "a loop has worked for 50 ms", func() bool { return srv.Busy(50 * time.Millisecond) })
	working.Store(false)
	eventually(t, "the loops sleep again", func() bool { return !srv.Busy(0) })
}
