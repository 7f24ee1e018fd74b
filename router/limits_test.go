package router

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

func TestFramesPerSecond(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	ping := `{"event":"pusher:ping","data":{}}`
	t.Log("a burst of twice the rate passes; subscribe and unsubscribe are not counted")
	for i := range 200 {
		must0(t, p.say(ping))
		if i%4 == 0 {
			must0(t, p.subscribe("news", ""))
			must0(t, p.unsubscribe("news"))
		}
	}
	t.Log("the tokens return with time")
	e.advance(100 * time.Millisecond)
	for range 10 {
		must0(t, p.say(ping))
	}
	want := frame.RateLimited.With("frames: more than 100 in 1 s (limits.frames_per_second)")
	if err := p.say(ping); err != want {
		t.Fatalf("over the rate: %v, want %v", err, want)
	}
	t.Log("fragments count as well")
	q := e.dial(0)
	l := e.loops[0]
	for range 200 {
		must0(t, l.s.Frame(e.now, q.slot, false))
	}
	if err := l.s.Frame(e.now, q.slot, false); err != want {
		t.Fatalf("fragments over the rate: %v, want %v", err, want)
	}
}

func TestControlFramesPerSecond(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	l := e.loops[0]
	for range 10 {
		must0(t, l.s.Frame(e.now, p.slot, true))
	}
	want := frame.RateLimited.With("control frames: more than 10 in 1 s (limits.control_frames_per_second)")
	if err := l.s.Frame(e.now, p.slot, true); err != want {
		t.Fatalf("over the rate: %v, want %v", err, want)
	}
	e.advance(100 * time.Millisecond)
	must0(t, l.s.Frame(e.now, p.slot, true))
}

func TestBinaryMessagesAreRefused(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	if err := e.loops[0].s.Message(e.now, p.slot, frame.OpBinary, []byte(`{"event":"pusher:ping"}`)); err != frame.BinaryRefused {
		t.Fatalf("binary message: %v", err)
	}
	p.wantNothing()
}

func TestSubscribesPerSecondPauseTheConnection(t *testing.T) {
	e := newEdge(t, 1, withLimits(func(l *Limits) { l.Subscriptions = 1000 }))
	p := e.dial(0)
	for i := range 199 {
		must0(t, p.subscribe(fmt.Sprint("c", i), ""))
	}
	t.Log("the one that takes the last token is carried out and pauses the connection")
	if err := p.subscribe("c199", ""); !errors.Is(err, frame.ErrPause) {
		t.Fatalf("last token: %v", err)
	}
	e.pump()
	for i := range 200 {
		p.want("pusher_internal:subscription_succeeded", fmt.Sprint("c", i))
	}
	p.wantNothing()
	if p.resumed != 0 {
		t.Fatal("resumed at once")
	}
	e.tick(time.Millisecond)
	if p.resumed != 0 {
		t.Fatal("resumed without a token")
	}
	e.tick(time.Second)
	if p.resumed != 1 {
		t.Fatalf("resumed %d times", p.resumed)
	}
	t.Log("unsubscribes count here too")
	for i := range 99 {
		must0(t, p.unsubscribe(fmt.Sprint("c", i)))
	}
	if err := p.unsubscribe("c99"); !errors.Is(err, frame.ErrPause) {
		t.Fatalf("last token: %v", err)
	}
	t.Log("a paused connection that ends is forgotten")
	p.drop()
	e.tick(time.Second)
	if len(e.loops[0].s.paused) != 0 {
		t.Fatal("an ended connection is kept in the list of paused ones")
	}
	e.checkEmpty()
}
