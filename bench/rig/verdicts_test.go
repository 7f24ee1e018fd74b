package main

import (
	"context"
	"io"
	"testing"
)

var discard = io.Discard

// failed are the bars that were missed.
func failed(bars []verdict) (n int) {
	for _, v := range bars {
		if !v.Pass {
			n++
		}
	}
	return n
}

func TestReturnsVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*returnsResult)
		fails  int
	}{
		{"good", func(*returnsResult) {}, 0},
		{"less than before", func(r *returnsResult) { r.Ratio = 0.9 }, 0},
		{"not given back", func(r *returnsResult) { r.Ratio = 1.06 }, 1},
		{"one refused", func(r *returnsResult) { r.Received, r.Refused = 9, 1 }, 2},
		{"one lost", func(r *returnsResult) { r.Received, r.Lost = 9, 1 }, 2},
	} {
		r := &returnsResult{Clients: 10, Received: 10, Ratio: 1.04}
		tt.change(r)
		if got := failed(r.judge()); got != tt.fails {
			t.Errorf("%s: %d failed, want %d", tt.name, got, tt.fails)
		}
	}
}

func TestStuckVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*stuckResult)
		fails  int
	}{
		{"good", func(*stuckResult) {}, 0},
		{"good without history", func(r *stuckResult) { r.History, r.CaughtUp, r.Closed = false, 0, 2 }, 0},
		{"more than the heap may take", func(r *stuckResult) { r.Growth++ }, 1},
		{"more than the bound in the queues", func(r *stuckResult) { r.Queued++ }, 1},
		{"a reader missed one", func(r *stuckResult) { r.Missing = 1 }, 1},
		{"a reader was closed", func(r *stuckResult) { r.Lost = 1 }, 1},
		{"one never caught up", func(r *stuckResult) { r.CaughtUp = 1 }, 1},
		{"one was never closed", func(r *stuckResult) { r.History, r.Closed = false, 1 }, 1},
		{"others wait", func(r *stuckResult) { r.During.P99 = 1.2 }, 1},
		{"others not measured", func(r *stuckResult) { r.Before.P99 = 0 }, 1},
	} {
		r := &stuckResult{Stuck: 2, History: true, CaughtUp: 2, Queued: 2 * stuckQueue, Bound: 2 * stuckQueue, Growth: 3 * stuckQueue, Allowed: 3 * stuckQueue,
			Before: latencies{P99: 1}, During: latencies{P99: 1.05}}
		tt.change(r)
		if got := failed(r.judge()); got != tt.fails {
			t.Errorf("%s: %d failed, want %d: %+v", tt.name, got, tt.fails, r.judge())
		}
	}
}

func TestHeapSlack(t *testing.T) {
	if got, err := heapSlack(`{"level":"INFO","msg":"memory","ceiling_bytes":25276514304,"gogc":50}`); got != 1.5 || err != nil {
		t.Errorf("%g, %v", got, err)
	}
	for _, bad := range []string{"", `{"gogc":"off"}`} {
		if got, err := heapSlack(bad); err == nil {
			t.Errorf("%q: %g", bad, got)
		}
	}
}

func TestFairVerdicts(t *testing.T) {
	result := func(bad int) *fairResult {
		r := &fairResult{}
		for i := range 10 {
			r.Runs = append(r.Runs, fairRun{Case: "raised", Holds: i >= bad}, fairRun{Case: "limited", Holds: true})
		}
		return r
	}
	for bad, want := range []int{0, 0, 1} {
		if got := result(bad).judge(); failed(got) != want || len(got) != 3 {
			t.Errorf("%d bad runs: %+v", bad, got)
		}
	}
	r := result(0)
	r.Runs[3].Missing = 1
	if failed(r.judge()) != 1 {
		t.Error("an event that never came is no finding")
	}
	one := &fairResult{Runs: []fairRun{{Case: "raised", Holds: true}}}
	if got := one.judge(); len(got) != 2 {
		t.Errorf("a case that was not asked for is judged: %+v", got)
	}
}

func TestCurvesVerdicts(t *testing.T) {
	result := func(holdfast, floor float64) *curvesResult {
		r := newCurvesResult("holdfast")
		for name, c := range r.Charts {
			c.Lines = []line{{"floor", []point{{1, 0}, {100, floor}}}, {"holdfast", []point{{1, 1e9}, {100, holdfast}}}}
			if name == curveChannels {
				c.Lines = c.Lines[1:]
			}
		}
		return r
	}
	if got := result(100, 100).judge(); len(got) != 5 || failed(got) != 0 {
		t.Errorf("as the floor: %+v", got)
	}
	if got := result(300, 100).judge(); failed(got) != 3 { // memory, handshake, size; more deliveries are no fault
		t.Errorf("three times the floor: %+v", got)
	}
	if got := result(80, 100).judge(); failed(got) != 1 {
		t.Errorf("fewer deliveries: %+v", got)
	}
}

func TestMedianOfCurves(t *testing.T) {
	at := 0.0
	got, err := medianOf(3, func() (map[string][]point, error) {
		at += 10
		return map[string][]point{"a": {{1, at}, {2, -at}}}, nil
	})
	if err != nil || len(got["a"]) != 2 || got["a"][0] != (point{1, 20}) || got["a"][1] != (point{2, -20}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Flags that make no sense are refused, before anything is built or pinned.
func TestNewCommandsRefuseBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{"returns", "-n", "3"}, {"returns", "-bytes", "9000000"}, {"stuck", "-stuck", "0"}, {"stuck", "-n", "10", "-stuck", "10"}, {"fair", "-case", "none"},
		{"fair", "-runs", "0"}, {"churn", "-duration", "5s"}, {"churn", "-rate", "0"}, {"curves", "-runs", "0"}, {"pauses", "-n", "1"}, {"collector", "-gogc", "x"}, {"collector", "-channels", "101"}, {"pauses", "more"},
		{"cluster", "-parts", "none"}, {"cluster", "-channels", "150"}, {"cluster", "-rate", "0"}, {"cluster", "-stall", "0s"}, {"cluster", "more"},
	} {
		if code := run(context.Background(), args, io.Discard, io.Discard); code != exitRefuse {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}
