package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

type tailCommand struct {
	targetFlags `embed:""`
	Count       int      `placeholder:"N" help:"End after N events. Default: never."`
	Channels    []string `arg:"" name:"channel" sep:"none" help:"Channels of any kind. On a presence channel the other members see this one as holdfast-tail."`
}

// Reconnecting waits from minWait, doubled at each failure, to maxWait, each
// time a random half to one and a half of it.
const (
	minWait = time.Second
	maxWait = 30 * time.Second
)

// tail is one run of the command.
type tail struct {
	// Immutable.
	target   *target
	channels []string
	count    int // 0 = no end
	p        *process
	wait     func(ctx context.Context, d time.Duration) // tests do not wait
	jitter   func() float64                             // [0,1)

	// Owned by the goroutine of run.
	seen int
}

func (c *tailCommand) run(p *process) int {
	if c.Count < 0 {
		return p.usage(fmt.Errorf("--count %d: use 0 or more", c.Count))
	}
	t, ok := c.resolve(p)
	if !ok {
		return exitUsage
	}
	signals, stop := p.signals()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go cancelBySignal(ctx, signals, cancel)
	run := &tail{target: t, channels: c.Channels, count: c.Count, p: p, wait: sleep, jitter: rand.Float64}
	if err := run.run(ctx); err != nil {
		return p.fail("tail", err)
	}
	return exitOK
}

func cancelBySignal(ctx context.Context, signals <-chan os.Signal, cancel context.CancelFunc) {
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGHUP {
				cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// run connects and reconnects until count events were printed, ctx ends, or
// the server says not to come back. A first connect that fails is the end:
// whoever types a command wants to see a wrong address at once.
func (t *tail) run(ctx context.Context) error {
	wait := minWait
	for first := true; ; first = false {
		joined, err := t.session(ctx)
		switch {
		case t.count > 0 && t.seen >= t.count, ctx.Err() != nil:
			return nil
		case first && !joined, final(err):
			return err
		case joined:
			wait = minWait
		}
		d := time.Duration(float64(wait) * (0.5 + t.jitter()))
		t.note("connection lost: %v; again in %s, events until then are not shown", err, d.Round(time.Millisecond))
		t.wait(ctx, d)
		wait = min(2*wait, maxWait)
	}
}

// note tells the user something that is not an event.
func (t *tail) note(format string, args ...any) {
	fmt.Fprintf(t.p.err, "holdfast tail: "+format+"\n", args...)
}
