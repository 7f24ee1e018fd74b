package netio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDoorDeadlines moves the clock; no client gets to prolong a deadline by
// sending a byte now and then.
func TestDoorDeadlines(t *testing.T) {
	tests := []struct {
		name    string
		sent    string
		phase   doorPhase
		timeout time.Duration
	}{
		{"idle", "", doorIdle, 30 * time.Second},
		{"head", "GET / HT", doorReading, 5 * time.Second},
		{"body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nab", doorBody, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newDoorHarness(t, nil)
			c := h.dial()
			c.get("/first")
			c.send(tt.sent)
			h.wantPhase(tt.phase, 1)
			h.advance(tt.timeout - time.Second)
			if h.conversations() != 1 {
				t.Fatal("closed before its time")
			}
			if tt.sent != "" {
				c.send("T")
				h.wantRead()
			}
			h.advance(2 * time.Second)
			h.wantConversations(0)
			c.wantEnd()
		})
	}
	t.Run("an answer begins a new idle time", func(t *testing.T) {
		h := newDoorHarness(t, nil)
		c := h.dial()
		for range 5 {
			c.get("/")
			h.wantPhase(doorIdle, 1)
			h.advance(29 * time.Second)
		}
		c.get("/")
	})
	t.Run("a jump of hours", func(t *testing.T) {
		h := newDoorHarness(t, nil)
		for range 3 {
			c := h.dial()
			c.get("/")
			h.wantPhase(doorIdle, 1)
			h.advance(5 * time.Hour)
			h.wantConversations(0)
		}
	})
}

func TestDoorDeadlineRing(t *testing.T) {
	at := func(s float64) int64 { return int64(s * float64(time.Second)) }
	tests := []struct {
		name     string
		now      []float64 // of calls of expire, in seconds
		deadline float64   // of a conversation that is added after the first call
		expired  int       // index of the call that returns it
	}{
		{"rounded up", []float64{10, 12.9, 13}, 12.5, 2},
		{"exact", []float64{10, 11.9, 12}, 12, 2},
		{"passed before it was added", []float64{10, 10.9, 11}, 3, 2},
		{"a whole turn ahead", []float64{10, 73, 74.1}, 74, 2},
		{"several turns ahead", []float64{10, 100, 200, 300, 300.5, 301}, 300.2, 5},
		{"a jump over several turns", []float64{10, 1000}, 11, 1},
		{"time stands still", []float64{10, 10, 10, 11}, 10.5, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ring doorDeadlines
			c := &doorConn{deadline: at(tt.deadline)}
			for i, now := range tt.now {
				if got := len(ring.expire(at(now))) == 1; got != (i == tt.expired) {
					t.Errorf("at %v s: expired is %v", now, got)
				}
				if i == 0 {
					ring.add(c)
				}
			}
			if c.list != nil {
				t.Error("still linked")
			}
		})
	}
}

// TestDoorWriteTimeout: a client that does not read its answer is given up, and
// holds no place while it is waited for.
func TestDoorWriteTimeout(t *testing.T) {
	const size = 32 << 20 // more than both sockets' buffers
	got := make(chan error, 1)
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Conversations, cfg.WriteTimeout, cfg.Now = 1, 300*time.Millisecond, newClock().now
		answer := cfg.Serve
		cfg.Serve = func(c net.Conn) error {
			if c.(*doorConn).head.total > 60 {
				_, err := c.Write(make([]byte, size))
				if _, again := c.Write([]byte("x")); !errors.Is(again, err) {
					err = fmt.Errorf("%w, then %w", err, again)
				}
				got <- err
				return err
			}
			return answer(c)
		}
	})
	c := h.dial()
	c.send("GET /" + strings.Repeat("x", 60) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	h.wait("the writer waits", func() bool {
		h.pool.mu.Lock()
		defer h.pool.mu.Unlock()
		return h.tasks() == 1 && h.pool.free == 1
	})
	other := h.dial()
	other.get("/meanwhile")
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write returned %v", err)
	}
	_ = other.Close()
	h.wantConversations(0)
}
