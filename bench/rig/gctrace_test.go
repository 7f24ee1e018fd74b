package main

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParseCollections(t *testing.T) {
	const output = `{"time":"2026-01-02T03:04:05.678Z","level":"INFO","msg":"holdfast serves"}
gc 1 @0.010s 1%: 0.030+0.66+0.003 ms clock, 0.061+0.12/0.18/0.12+0.007 ms cpu, 2->2->0 MB, 2 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 12 @125.034s 0%: 1.2+31+0 ms clock, 0.069+0.10/0.37/0.38+0.005 ms cpu, 2->3->2 MB, 2 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
gc 13 @125.`
	got, err := parseCollections(output)
	want := []collection{
		{number: 1, at: 0.010, stops: [2]float64{0.030, 0.003}, cpu: 0.061 + 0.12 + 0.18 + 0.007, idle: 0.12},
		{number: 12, at: 125.034, stops: [2]float64{1.2, 0}, cpu: 0.069 + 0.10 + 0.37 + 0.005, idle: 0.38, live: 2, forced: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	const rest = ", 0.061+0.12/0.18/0.12+0.007 ms cpu, 2->2->0 MB, 2 MB goal\n"
	for _, bad := range []string{
		"gc \n", "gc 1 @0.010s 1%: 0.030+0.66 ms clock" + rest, "gc x @0.010s 1%: 0.030+0.66+0.003 ms clock" + rest,
		"gc 1 @0.010s 1%: a+0.66+0.003 ms clock" + rest, "gc 1 @0.010s 1%: 0.030+0.66+0.003 ms clock, 1+2+3 ms cpu, 2->2->0 MB\n",
		"gc 1 @0.010s 1%: 0.030+0.66+0.003 ms clock, 0.061+0.12/0.18/Inf+0.007 ms cpu, 2->2->0 MB\n",
		"gc 1 @0.010s 1%: 0.030+0.66+0.003 ms clock, 0.061+0.12/0.18/0.12+0.007 ms cpu, 2->0 MB\n",
	} {
		if got, err := parseCollections(bad); !errors.Is(err, errTrace) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func FuzzParseCollection(f *testing.F) {
	f.Add("gc 1 @0.010s 1%: 0.030+0.66+0.003 ms clock, 0.061+0.12/0.18/0.12+0.007 ms cpu, 2->2->0 MB")
	f.Add("gc 1 @")
	f.Add("gc % @s ms clock")
	f.Add("gc 1 @NaNs 1%: Inf+0+NaN ms clock")
	f.Fuzz(func(t *testing.T, line string) {
		c, ok, err := parseCollection(line)
		if ok && (err != nil || !strings.HasPrefix(line, "gc ") || !(c.stops[0] >= 0) || !(c.stops[1] >= 0) || math.IsInf(c.stops[0]+c.stops[1], 0)) {
			t.Errorf("%q: taken as %+v, %v", line, c, err)
		}
	})
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tt := range []struct {
		values []float64
		q      float64
		want   float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{2, 1}, 0.5, 1}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0.5, 50}, {hundred, 0.001, 1}} {
		if got := quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("quantile of %d values at %g is %g, want %g", len(tt.values), tt.q, got, tt.want)
		}
	}
}

func TestPausesVerdicts(t *testing.T) {
	others := func(all, short float64) metrics { return metrics{otherStops + "_count": all, shortStop: short} }
	beside := func(short float64, stops ...float64) (r pausesRun) {
		var all []collection
		for _, s := range stops {
			all = append(all, collection{stops: [2]float64{s, 0.001}})
		}
		if err := r.judge(all, others(13, 3+short), others(3, 3)); err != nil {
			t.Error(err)
		}
		return r
	}
	run := func(stops ...float64) pausesRun { return beside(10, stops...) }
	good, bad := run(0.1, 0.2, 0.99), run(0.1, 1.0, 0.1)
	if !good.Holds || bad.Holds || run(0.1, 0.1).Holds || good.Longest != 0.99 || good.Collections != 3 || good.Stops != 6 {
		t.Errorf("good %+v, bad %+v", good, bad)
	}
	if r := beside(9, 0.1, 0.2, 0.99); r.Holds || r.OtherStops != 10 || r.OtherLong != 1 {
		t.Errorf("a long stop for another reason: %+v", r)
	}
	if err := new(pausesRun).judge(nil, metrics{}, metrics{}); err == nil {
		t.Error("no word of a server without the metric")
	}
	ten := func(bads int) *pausesResult {
		r := &pausesResult{}
		for i := range 10 {
			if i < bads {
				r.Runs = append(r.Runs, bad)
			} else {
				r.Runs = append(r.Runs, good)
			}
		}
		return r
	}
	for bads, want := range []bool{true, true, false} {
		if got := ten(bads).judge()[0]; got.Pass != want {
			t.Errorf("%d of 10 over the bar: %+v", bads, got)
		}
	}
	quiet := &pausesResult{Runs: []pausesRun{run(0.1)}}
	if v := quiet.judge(); v[0].Pass || v[1].Pass {
		t.Errorf("a run without collections says something: %+v", v)
	}
}

func TestCollectorShares(t *testing.T) {
	r := collectorRun{Published: 1000}
	r.judge([]collection{{stops: [2]float64{0.1, 0.2}, cpu: 3, idle: 1, live: 10}, {stops: [2]float64{0.3, 0.1}, cpu: 5, live: 12}}, 100e6, 1e9)
	want := collectorRun{Published: 1000, Collections: 2, Live: 12, Longest: 0.3, GCCPU: 8, Idle: 1, PerPublish: 100, CPU: 0.1}
	if r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
}

func TestMostOfTheRuns(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 2: 2, 9: 9, 10: 9, 20: 18} {
		if got := mostOf(n); got != want {
			t.Errorf("of %d: %g, want %g", n, got, want)
		}
	}
}
