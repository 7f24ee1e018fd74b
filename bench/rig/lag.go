package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	lagMetric = "holdfast_loop_lag_seconds"
	lagBar    = 20.0 // ms: the 99th percentile of turns may not be longer
)

// lag is how long the turns of a server's loops were, from the wake-up to the end of the turn, by its own histogram: a
// percentile is the upper end of the bucket that holds it. Unit of times: ms.
type lag struct {
	Turns float64 `json:"turns"`
	P99   float64 `json:"p99_at_most_ms"`
	Max   float64 `json:"longest_at_most_ms"` // 0: there was no turn
	Mean  float64 `json:"mean_ms"`
	Over  float64 `json:"turns_above_20ms"`
}

// lagSince is the lag between two scrapes.
func lagSince(before, after metrics) (lag, error) {
	turns, err := after.since(before, lagMetric+"_count")
	if err != nil {
		return lag{}, err
	}
	sum, err := after.since(before, lagMetric+"_sum")
	if err != nil {
		return lag{}, err
	}
	bounds := lagBounds(after)
	if len(bounds) == 0 {
		return lag{}, fmt.Errorf("no buckets of %s", lagMetric)
	}
	out := lag{Turns: turns}
	if turns > 0 {
		out.Mean = 1e3 * sum / turns
	}
	// The last bound is infinite: what is beyond the others is said to be twice the largest of them.
	last := len(bounds) - 1
	named := func(i int) float64 {
		if i == last && last > 0 {
			return 2e3 * bounds[last-1]
		}
		return 1e3 * bounds[i]
	}
	below := 0.0
	for i, bound := range bounds {
		name := fmt.Sprintf("%s_bucket{le=%q}", lagMetric, le(bound))
		n := after[name] - before[name]
		if below < 0.99*turns && n >= 0.99*turns {
			out.P99 = named(i)
		}
		if n > below {
			out.Max = named(i)
		}
		if 1e3*bound <= lagBar {
			out.Over = turns - n
		}
		below = n
	}
	return out, nil
}

// lagBounds are the upper ends of the buckets, in order. Unit: seconds.
func lagBounds(m metrics) []float64 {
	var bounds []float64
	for name := range m {
		text, ok := strings.CutPrefix(name, lagMetric+`_bucket{le="`)
		if !ok {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSuffix(text, `"}`), 64); err == nil {
			bounds = append(bounds, v)
		}
	}
	slices.Sort(bounds)
	return bounds
}

// le is a bound as it is written in a label.
func le(bound float64) string {
	if math.IsInf(bound, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(bound, 'g', -1, 64)
}

// worst is the lag of several stretches of time together.
func worst(list ...lag) (out lag) {
	for _, l := range list {
		out.Mean = (out.Mean*out.Turns + l.Mean*l.Turns) / max(out.Turns+l.Turns, 1)
		out.Turns, out.Over = out.Turns+l.Turns, out.Over+l.Over
		out.P99, out.Max = max(out.P99, l.P99), max(out.Max, l.Max)
	}
	return out
}
