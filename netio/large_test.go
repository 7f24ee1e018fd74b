package netio

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// largeMessage is the frame of a message that needs a turn.
func largeMessage() []byte { return maskedFrame(frame.OpText, true, bytes.Repeat([]byte{'x'}, 1<<20)) }

// startLarge is a server of one loop that takes large messages; onMessage runs in it.
func startLarge(t *testing.T, onMessage, onTurn, onTick func(l *loop)) *testServer {
	var server atomic.Pointer[testServer]
	inLoop := func(f func(*loop)) {
		if s := server.Load(); s != nil && f != nil {
			f(s.loops[0])
		}
	}
	srv := startServer(t, func(c *Config) {
		c.Loops, c.Limits.MessageBytes, c.Limits.MessageTime = 1, 2<<20, 3*time.Second
	}, nil, func(s *echoSession) {
		s.onMessage = func(*echoSession, uint32, []byte) error { inLoop(onMessage); return nil }
		s.work = func(*echoSession) bool { inLoop(onTurn); return false }
		s.onTick = func(*echoSession) { inLoop(onTick) }
		s.onCommand = func(_ *echoSession, _ uint8, _ uint64, ref any) { ref.(func())() }
	})
	server.Store(srv)
	return srv
}

// inLoop runs f in the loop and waits for it.
func (ts *testServer) inLoop(f func(l *loop)) {
	done := make(chan struct{})
	ts.MustPost(0, 1, 0, func() {
		f(ts.loops[0])
		close(done)
	})
	<-done
}

// underWay is how much the loop holds of messages that are not whole.
func underWay(l *loop) (sum int) {
	for _, p := range l.partials.rows {
		if p != nil && p.state != nil {
			_, received := p.state.Message()
			sum += received
		}
	}
	return sum
}

// wantNoTurns expects that nothing is booked, and nobody waits.
func (ts *testServer) wantNoTurns() {
	ts.t.Helper()
	eventually(ts.t, "all turns are over", func() bool {
		over := false
		ts.inLoop(func(l *loop) {
			over = l.large.booked == [2]int{} && l.large.waiting == nil && underWay(l) == 0
		})
		return over
	})
}

// TestLargeMessagesTakeTurns: of many large messages at once the loop holds about
// its budget, and all of them arrive; those that end on the way leave nothing behind.
func TestLargeMessagesTakeTurns(t *testing.T) {
	const clients, torn = 96, 16
	var arrived, held atomic.Int64
	most := 0 // the loop's
	srv := startLarge(t, func(*loop) { arrived.Add(1) }, func(l *loop) {
		now := underWay(l)
		held.Store(int64(now))
		most = max(most, now)
	}, nil)
	message := largeMessage()
	first, last := message[:len(message)*3/4], message[len(message)*3/4:]
	all := make(chan struct{})
	var sending sync.WaitGroup
	for i := range clients + torn {
		c := srv.dial()
		c.wantText("hello")
		sending.Go(func() {
			_, err := c.conn.Write(first)
			<-all
			switch {
			case err != nil:
			case i%(clients/torn+1) == 0:
				err = c.conn.Close()
			default:
				_, err = c.conn.Write(last)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all turns are taken", func() bool { return held.Load() >= largeBudget/4*3 })
	close(all)
	sending.Wait()
	eventually(t, "all messages arrived", func() bool { return arrived.Load() == clients })
	srv.wantNoTurns()
	got := 0
	srv.inLoop(func(*loop) { got = most })
	// Each of the others has sent what made it wait: a read, behind what is no turn's.
	if bound := largeBudget + (clients+torn)*(readBytes+largeBytes); got > bound {
		t.Errorf("%d bytes were held of messages under way, want at most %d", got, bound)
	}
	t.Logf("at most %d KiB were held", got>>10)
}

// TestSlowSendersKeepNoTurns: large messages that do not go on are no reason to wait
// after two ticks.
func TestSlowSendersKeepNoTurns(t *testing.T) {
	t.Parallel() // it waits for the clock
	var arrived atomic.Int64
	srv := startLarge(t, func(l *loop) { arrived.Store(int64(l.tick)) }, nil, nil)
	message := largeMessage()
	for range largeBudget / (1 << 20) {
		c := srv.dial()
		c.wantText("hello")
		c.send(message[:largeBytes])
	}
	var began int64
	eventually(t, "all turns are taken", func() bool {
		full := false
		srv.inLoop(func(l *loop) { began, full = int64(l.tick), !l.hasRoom(1<<20) })
		return full
	})
	c := srv.dial()
	c.wantText("hello")
	c.send(message)
	eventually(t, "the message arrived", func() bool { return arrived.Load() != 0 })
	if waited := arrived.Load() - began; waited < 1 || waited > 3 {
		t.Errorf("the message waited for %d ticks, want 2", waited)
	}
}

// TestNoLargeMessageWaitsForLong: however many there are before it. Its own deadline,
// which is shorter here, is not for the time in which it is not read.
func TestNoLargeMessageWaitsForLong(t *testing.T) {
	t.Parallel() // it waits for the clock
	var arrived atomic.Int64
	crowd := func(l *loop) { l.large.booked = [2]int{largeBudget, largeBudget} }
	srv := startLarge(t, func(l *loop) { arrived.Store(int64(l.tick)) }, nil, crowd)
	var began int64
	srv.inLoop(func(l *loop) { crowd(l); began = int64(l.tick) })
	c := srv.dial()
	c.wantText("hello")
	c.send(largeMessage())
	eventually(t, "the message arrived", func() bool { return arrived.Load() != 0 })
	if waited := arrived.Load() - began; waited < largeWait-1 || waited > largeWait+1 {
		t.Errorf("the message waited for %d ticks, want %d", waited, largeWait)
	}
}

// TestStuckReceiversAreNoReasonToWait: what nobody takes does not count after a tick.
func TestStuckReceiversAreNoReasonToWait(t *testing.T) {
	var large largeTurns
	large.newTick(1, 0, 100<<20)
	large.newTick(2, 1, 90<<20)
	if large.stuck != 90<<20 {
		t.Errorf("%d bytes are stuck of 100 MiB, then 90", large.stuck)
	}
	large.booked = [2]int{1, 1}
	large.newTick(5, 2, 90<<20) // the process was stopped for a while
	if large.booked != [2]int{} {
		t.Errorf("booked after two ticks: %v", large.booked)
	}
	large.least = 10 << 20 // looked at between the ticks
	large.newTick(6, 5, 80<<20)
	if large.stuck != 10<<20 {
		t.Errorf("%d bytes are stuck, though only 10 MiB were left once", large.stuck)
	}
}
