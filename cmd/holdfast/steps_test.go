package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSteps(t *testing.T) {
	boom := errors.New("boom")
	cases := []struct {
		name       string
		failStart  string // the step that does not start
		failStop   string // the step that does not stop well
		wantTrace  string
		wantErr    string
		wantNotRun bool
	}{
		{"down and up", "", "", "+a +b +c -c -b -a", "", false},
		{"the second does not start", "b", "", "+a +b -a", "starting the b: boom", true},
		{"the first does not start", "a", "", "+a", "starting the a: boom", true},
		{"one does not stop well", "", "b", "+a +b +c -c -b -a", "stopping the b: boom", false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var trace []string
			var steps []step
			for _, name := range []string{"a", "b", "c"} {
				does := func(sign, fail string) func(context.Context) error {
					return func(context.Context) error {
						trace = append(trace, sign+name)
						if fail == name {
							return boom
						}
						return nil
					}
				}
				steps = append(steps, step{name, does("+", tc.failStart), does("-", tc.failStop), time.Second, time.Second})
			}
			stop, err := startSteps(steps, slog.New(slog.DiscardHandler))
			if err == nil {
				err = stop(context.Background())
			}
			if got := strings.Join(trace, " "); got != tc.wantTrace {
				t.Errorf("order %s, want %s", got, tc.wantTrace)
			}
			if text := errorString(err); text != tc.wantErr {
				t.Errorf("error %q, want %q", text, tc.wantErr)
			}
		})
	}
}

func errorString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStepDeadline(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	deaf := func(context.Context) error { <-block; return nil }
	polite := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tc := range map[string]struct {
		f    func(context.Context) error
		want error
	}{
		"a step that does not listen": {deaf, errLate},
		"a step that does":            {polite, context.DeadlineExceeded},
		"no step":                     {nil, nil},
	} {
		begun := time.Now()
		if err := within(context.Background(), 20*time.Millisecond, tc.f); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}
