package router

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// subscriber is one connection that subscribes to private channels with a valid
// signature and leaves them again, for budgets and benchmarks: its messages are made
// ahead, and its loop is turned without allocations of the harness.
type subscriber struct {
	e     *edge
	p     *peer
	texts [][2][]byte // subscribe and unsubscribe, by channel
	next  int
	spare []command
	room  []byte
}

// newSubscriber is on a server with an empty log, which asks it where the channels
// stand, or without one.
func newSubscriber(t testing.TB, channels int, logged bool) *subscriber {
	opts := []option{withLimits(func(l *Limits) { l.SubscribesPerSecond, l.FramesPerSecond = 100_000, 100_000 })}
	if logged {
		opts = append(opts, withLog(newMemLog()))
	}
	s := &subscriber{e: newEdge(t, 1, opts...)}
	s.p = s.e.dial(0)
	s.p.loop.quiet = true
	for i := range channels {
		name := fmt.Sprintf("private-App.Models.User.%08d", i)
		s.texts = append(s.texts, [2][]byte{
			fmt.Appendf(nil, `{"event":"pusher:subscribe","data":{"auth":%q,"channel":%q}}`, sign(s.p.id+":"+name), name),
			fmt.Appendf(nil, `{"event":"pusher:unsubscribe","data":{"channel":%q}}`, name),
		})
	}
	return s
}

// once subscribes, waits for the answer, and leaves.
func (s *subscriber) once() {
	s.e.advance(time.Millisecond) // tokens return
	texts := &s.texts[s.next]
	s.next = (s.next + 1) % len(s.texts)
	answers := s.p.loop.count
	s.say(texts[0])
	if s.p.loop.count != answers+1 {
		s.e.t.Fatalf("%d answers to a subscribe", s.p.loop.count-answers)
	}
	if n := s.p.loop.s.sessions.at(s.p.slot).subscriptions; n != 1 {
		s.e.t.Fatalf("%d subscriptions after a subscribe", n)
	}
	s.say(texts[1])
	if n := s.p.loop.s.sessions.at(s.p.slot).subscriptions; n != 0 {
		s.e.t.Fatalf("%d subscriptions after an unsubscribe", n)
	}
}

// say hands over one message, and what the loop posted to itself.
func (s *subscriber) say(text []byte) {
	l := s.p.loop
	s.room = append(s.room[:0], text...)
	if err := l.s.Message(s.e.now, s.p.slot, frame.OpText, s.room); err != nil {
		s.e.t.Fatal(err)
	}
	for len(l.inbox) > 0 {
		commands := l.inbox
		l.inbox = s.spare[:0]
		for _, c := range commands {
			l.s.Command(s.e.now, c.op, c.arg, c.ref)
		}
		clear(commands)
		s.spare = commands
	}
}

// BenchmarkSubscribePrivate is subscribes as a loop executes them: decode, verify the
// signature, join, answer; and the unsubscribe after each. subscribes/cpu-s is by the
// processor time of the whole process, the collector included.
func BenchmarkSubscribePrivate(b *testing.B) {
	for _, c := range []struct {
		name   string
		logged bool
	}{{"history", true}, {"no_log", false}} {
		b.Run(c.name, func(b *testing.B) {
			s := newSubscriber(b, 1000, c.logged)
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			for b.Loop() {
				s.once()
			}
			b.ReportMetric(float64(b.N)/(processorTime(b)-before).Seconds(), "subscribes/cpu-s")
			if s.p.loop.count < b.N {
				b.Fatalf("%d answers to %d subscribes", s.p.loop.count, b.N)
			}
		})
	}
}

// processorTime is what the process has used so far.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
