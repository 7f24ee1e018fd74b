package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// step is one part of the process that is started and stopped. Steps are
// started down the list and stopped up, each with its own deadline.
type step struct {
	name  string
	start func(ctx context.Context) error // nil: nothing to do
	stop  func(ctx context.Context) error // nil: nothing to do
	// Deadlines. A step that does not keep one is given up, not waited for.
	startWithin, stopWithin time.Duration
}

// startSteps starts all of them, or stops those that were started and returns
// why. The result stops what runs.
func startSteps(steps []step, log *slog.Logger) (stop func(ctx context.Context) error, err error) {
	started := 0
	stop = func(ctx context.Context) error {
		var errs []error
		for i := started - 1; i >= 0; i-- {
			s := steps[i]
			begun := time.Now()
			if err := within(ctx, s.stopWithin, s.stop); err != nil {
				err = fmt.Errorf("stopping the %s: %w", s.name, err)
				log.Error("a step did not stop", "err", err, "dur_ms", time.Since(begun).Milliseconds())
				errs = append(errs, err)
			}
		}
		started = 0
		return errors.Join(errs...)
	}
	for _, s := range steps {
		if err := within(context.Background(), s.startWithin, s.start); err != nil {
			err = fmt.Errorf("starting the %s: %w", s.name, err)
			return nil, errors.Join(err, stop(context.Background()))
		}
		started++
	}
	return stop, nil
}

// errLate is the end of a step that did not return by its deadline.
var errLate = errors.New("did not end in time")

// within calls f with a deadline and comes back by then even if f does not.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// f was told at the same moment; a result that is there counts.
		select {
		case err := <-done:
			return err
		case <-time.After(graceAfterDeadline):
			return errLate
		}
	}
}

// graceAfterDeadline is how long a step may take to notice that its context ended.
const graceAfterDeadline = 100 * time.Millisecond
