package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// Every part runs against real processes and gives figures that can be true.
func TestClusterAgainstHoldfast(t *testing.T) {
	for _, name := range []string{"redis-server", "redis-benchmark"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("this test needs a real Redis (apt-get install redis-server): %v", err)
		}
	}
	b, holdfast := startHoldfast(t)
	p := &clusterPlan{parts: partNames()}
	p.shrink()
	result, _, err := p.measure(b, holdfast, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := result.(*clusterResult)
	within := func(what string, got, least, most float64) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s = %g, want %g to %g", what, got, least, most)
		}
	}
	d := r.Delivery
	for name, l := range map[string]latencies{
		"across": d.Quiet.Across, "bare": d.Quiet.Bare, "alone": d.Quiet.Alone, "across, loaded": d.Loaded.Across, "bare, loaded": d.Loaded.Bare,
		"alone, loaded": d.Loaded.Alone, "beside, across": d.Beside.Across, "beside, alone": d.Beside.Alone,
	} {
		within(name+": receptions", float64(l.Receptions), 1, 1e6)
		within(name+": median", l.P50, 0.005, 1000)
	}
	within("missing and doubled", float64(d.Missing+d.Doubled), 0, 0)

	within("envelope", float64(r.Rate.Envelope), 100, 400)
	for _, one := range r.Rate.Runs {
		within(one.Who+": events a second", one.PerSecond, 100, 1e6)
		within(one.Who+": events a CPU second", one.PerCPU, 500, 1e6)
	}
	within("ratio", r.Rate.One.Ratio, 0.05, 20)

	within("followed channel", r.Memory.Followed, 100, 3000)
	within("bare subscription", r.Memory.Subscribed, 100, 1000)
	within("kept event", r.Memory.Event, eventBytes, 1000)
	within("name in Redis", float64(r.Memory.RedisName), float64(len(owned(0))+8), 100)

	cut := r.Cut.Rounds[0]
	within("missing and doubled after a cut", float64(cut.Missing+cut.Doubled)+cut.Holes, 0, 0)
	within("connections cut", float64(cut.Killed), 2, 2)
	within("cut", cut.Cut.Last, cut.Cut.First, 20_000)
	within("subscribed again", cut.Again, 1, 20_000)

	s := r.Stall
	within("refused", float64(s.During.Refused), 1, float64(s.During.Published))
	within("pings", float64(s.During.Pings.Receptions), 1, 1e6)
	within("turns", s.During.Lag.Turns, 1, 1e6)
	within("lost", float64(s.Lost), 0, 0)

	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"from one node to the other", "redis-benchmark -c 8 -P 16", "kept event", "connection was cut", "Redis stands still"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestClusterVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*clusterResult)
		fails  int
	}{
		{"good", func(*clusterResult) {}, 0},
		{"an event is missing", func(r *clusterResult) { r.Delivery.Missing = 1 }, 1},
		{"or came twice", func(r *clusterResult) { r.Delivery.Doubled = 1 }, 1},
		{"the rate was not kept", func(r *clusterResult) { r.Delivery.Achieved.Alone = 89 }, 1},
		{"an event came twice", func(r *clusterResult) { r.Cut.Rounds[1].Doubled = 1 }, 1},
		{"a hole", func(r *clusterResult) { r.Cut.Rounds[1].Holes = 1 }, 1},
		{"lag in one round", func(r *clusterResult) { r.Cut.Rounds[1].Lag.P99 = 50 }, 1},
		{"lag while Redis stands still", func(r *clusterResult) { r.Stall.During.Lag.P99 = 50 }, 1},
		{"a connection was lost", func(r *clusterResult) { r.Stall.Lost = 1 }, 1},
		{"publishes were not refused", func(r *clusterResult) { r.Stall.During.Refused = 9 }, 1},
		{"or late", func(r *clusterResult) { r.Stall.During.Answers.P99 = 2600 }, 1},
	} {
		r := &clusterResult{
			Delivery: &deliveryResult{Rate: 100, Achieved: rates{100, 90}},
			Rate:     &rateResult{}, Memory: &holdingResult{},
			Cut:   &cutResult{Rounds: []cutRound{{Lag: lag{P99: 20}}, {Lag: lag{P99: 5}}}},
			Stall: &stallResult{Timeout: 2000, During: stallPhase{Published: 10, Refused: 10, Answers: latencies{P99: 2010}}},
		}
		tt.change(r)
		if got := failed(r.judge()); got != tt.fails {
			t.Errorf("%s: %d failed, want %d: %+v", tt.name, got, tt.fails, r.judge())
		}
	}
	if got := (&clusterResult{Memory: &holdingResult{}}).judge(); len(got) != 0 {
		t.Errorf("parts that were not measured are judged: %+v", got)
	}
}

// A round's quotient is of what was measured side by side; the median of the quotients counts.
func TestRateContest(t *testing.T) {
	r := &rateResult{Runs: []rateRun{
		{Who: "one", PerCPU: 10, PerSecond: 5}, {Who: "-P 1", PerCPU: 20}, {Who: "one", PerCPU: 30, PerSecond: 7}, {Who: "-P 1", PerCPU: 30},
		{Who: "one", PerCPU: 20, PerSecond: 6}, {Who: "-P 1", PerCPU: 25},
	}}
	got := r.contest("one", "-P 1")
	if got.Ratio != 0.8 || got.Holdfast.PerCPU != 20 || got.Holdfast.PerSecond != 6 || got.Benchmark.PerCPU != 25 {
		t.Errorf("%+v", got)
	}
}
