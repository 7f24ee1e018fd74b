package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// Host is what a run gets from the world around it.
type Host struct {
	// Program is the command line that calls Help; needed for more than one process.
	Program []string
	// Linger leaves further processes, and so their connections, until this one ends.
	Linger bool
	// Build names this program in the result.
	Build Build
	// Progress receives a line a second if it is a Terminal, else each five; nil: none.
	Progress io.Writer
	Terminal bool
	// Warn receives what --force went past; nil: nothing.
	Warn io.Writer
}

// lookEvery is how often the leader looks at the board.
const lookEvery = 10 * time.Millisecond

// Run is a load test from beginning to end. The end of ctx ends it early, with the
// result so far. Errors wrap ErrUsage, ErrRefused or ErrChild; with ErrChild and
// other failures while running, the result so far comes too.
func Run(ctx context.Context, p Params, host Host) (*Result, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	c, file, err := newCrew(ctx, p, host.Warn)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	children, err := c.startChildren(host.Program, file)
	if err != nil {
		_ = gather(children, &outcome{Tally: newTally(0)}, false)
		return nil, err
	}
	began := time.Now()
	lead := &leader{crew: c, script: script(&p), progress: newProgress(host, &p)}
	led := make(chan error, 1)
	go func() { led <- lead.lead(ctx) }()
	out, err := c.work(ctx)
	if err != nil {
		c.board.stop()
		out = &outcome{Tally: newTally(waves(&p))}
	}
	err = errors.Join(err, <-led, gather(children, out, host.Linger))
	r := newResult(&p, out, lead, host.Build)
	r.Began, r.Seconds = began, time.Since(began).Seconds()
	r.Interrupted = ctx.Err() != nil
	if err != nil {
		r.Fault = err.Error()
	}
	r.judge()
	return r, err
}

// newCrew looks whether the host has room, and makes what all processes share.
func newCrew(ctx context.Context, p Params, warn io.Writer) (c *crew, file *os.File, err error) {
	t, err := parseTarget(ctx, p.URL, p.Destinations)
	if err != nil {
		return nil, nil, err
	}
	limit, err := prepareDescriptors(&p)
	if err != nil {
		return nil, nil, err
	}
	space, err := readRoom(limit)
	if err != nil {
		return nil, nil, err
	}
	sources, err := pickSources(p.SourceAddresses, t, &p, space.ports)
	if err != nil {
		return nil, nil, err
	}
	if err := heed(judgeRoom(space, &p, t, sources), p.Force, warn); err != nil {
		return nil, nil, err
	}
	clock, err := newClock()
	if err != nil {
		return nil, nil, err
	}
	b, file, err := newBoard(p.shape())
	if err != nil {
		return nil, nil, err
	}
	return &crew{params: p, target: t, sources: sources, board: b, clock: clock, run: newRunID(rand.Uint32())}, file, nil
}

// heed refuses what the host has no room for, or warns of it when forced.
func heed(faults []string, force bool, warn io.Writer) error {
	if len(faults) == 0 {
		return nil
	}
	var all []error
	for _, f := range faults {
		if !force {
			all = append(all, fault{ErrRefused, f + "; or go on with --force"})
		} else if warn != nil {
			fmt.Fprintf(warn, "warning: %s\n", f)
		}
	}
	return errors.Join(all...)
}

// leader moves all loops through the script. Owned by its goroutine until lead
// has returned.
type leader struct {
	crew      *crew
	script    []step
	progress  *progress
	published *published // nil: nothing was published
	unfinish  bool       // events stayed away until the grace was over
}

// lead returns when the last step is begun, or the run stops.
func (l *leader) lead(ctx context.Context) error {
	b := l.crew.board
	defer l.progress.end()
	// However it ends, the loops are sent to the last step.
	defer func() { b.head.step.Store(uint32(len(l.script) - 1)) }()
	for at, s := range l.script {
		b.head.step.Store(uint32(at))
		if err := l.await(ctx, at, s); err != nil {
			b.stop()
			return err
		}
		if b.stopped() {
			return nil
		}
		if s.kind == stepOpen && l.crew.params.Kind != Storm && b.sum().connected == 0 {
			break // there is nobody to hold or to publish to
		}
	}
	return nil
}

// await returns when a step is over.
func (l *leader) await(ctx context.Context, at int, s step) error {
	p := &l.crew.params
	switch s.kind {
	case stepHold:
		end := time.Now().Add(p.Hold)
		l.until(func() bool { return !time.Now().Before(end) })
	case stepPublish:
		return l.publish(ctx)
	case stepDrain:
		l.drain(at)
	case stepOpen, stepCut:
		l.until(func() bool { return l.allDone(at) })
	}
	return nil
}

// allDone: every loop has done its part of a step.
func (l *leader) allDone(at int) bool {
	return int(l.crew.board.done[at].Load()) == len(l.crew.board.slots)
}

// until waits for over or the stop of the run, and shows how far it is.
func (l *leader) until(over func() bool) {
	for !over() && !l.crew.board.stopped() {
		l.progress.show(time.Now(), l.crew.board.sum())
		time.Sleep(lookEvery) // between two looks at what the loops count
	}
}

// publish runs the publisher to its end.
func (l *leader) publish(ctx context.Context) error {
	p := &l.crew.params
	all, rate, group := int(p.PublishRate*p.Duration.Seconds()), p.PublishRate, 1
	if p.Kind == Connect {
		all, rate, group = (p.Channels+groupChannels-1)/groupChannels, 0, groupChannels
	}
	one, err := l.crew.newPublisher(max(all, 1), rate, group)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		l.published, err = one.work(ctx)
		ended <- err
	}()
	over := false
	l.until(func() bool {
		select {
		case err = <-ended:
			over = true
		default:
		}
		return over
	})
	if !over {
		err = <-ended
	}
	return err
}

// drain waits until everybody has everything, or nothing more has come for the grace.
func (l *leader) drain(at int) {
	last, seen := time.Now(), uint64(0)
	l.until(func() bool {
		if n := l.crew.board.sum().received; n != seen {
			last, seen = time.Now(), n
		}
		l.unfinish = time.Since(last) > l.crew.params.Grace
		return l.allDone(at) || l.unfinish
	})
}
