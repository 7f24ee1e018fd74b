package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

type tailCommand struct {
	targetFlags `embed:""`
	Count       int      `placeholder:"N" help:"End after N events. Default: never."`
	Rewind      string   `placeholder:"10|30s" help:"Begin with the last 10 events, or those of the last 30s, of each channel, as far as they are kept."`
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
	rewind   any // of the first subscription: a number, a string, or nil
	p        *process
	wait     func(ctx context.Context, d time.Duration) // tests do not wait
	jitter   func() float64                             // [0,1)

	// Owned by the goroutine of run.
	seen int
	at   map[string]position // by channel: the last event that was shown
	id   string              // socket id of the last connection
}

// position is where a channel stands; a server without history gives none.
type position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// rewindValue is the member rewind of a subscription; the server judges ages.
func rewindValue(text string) (any, bool) {
	if text == "" {
		return nil, true
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, n >= 1 && n <= 1000
	}
	_, err := pusher.ParseRewind([]byte(strconv.Quote(text)))
	return text, err == nil
}

func (c *tailCommand) run(p *process) int {
	rewind, ok := rewindValue(c.Rewind)
	if !ok {
		return p.usage(fmt.Errorf("--rewind %s: use a number from 1 to 1000, or an age like 30s, 5m or 1h", c.Rewind))
	}
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
	run := &tail{target: t, channels: c.Channels, count: c.Count, rewind: rewind, p: p, wait: sleep, jitter: rand.Float64, at: map[string]position{}}
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
		t.note("connection lost: %v; again in %s", err, d.Round(time.Millisecond))
		t.wait(ctx, d)
		wait = min(2*wait, maxWait)
	}
}

// note tells the user something that is not an event.
func (t *tail) note(format string, args ...any) {
	fmt.Fprintf(t.p.err, "holdfast tail: "+format+"\n", args...)
}
