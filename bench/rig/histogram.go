package main

import "time"

// Histogram geometry: even steps, so that a ratio of two quantiles of 60 to 100 ms is exact to 0.1 %.
const (
	histogramStep  = 50 * time.Microsecond
	histogramSteps = 100_000 // up to 5 s; longer ones count in the last step
)

// histogram counts latencies. The zero value is not usable: see newHistogram.
type histogram struct {
	counts []int32
	total  int
	max    time.Duration
}

func newHistogram() *histogram { return &histogram{counts: make([]int32, histogramSteps)} }

func (h *histogram) add(d time.Duration) {
	i := int(d / histogramStep)
	h.counts[min(max(i, 0), histogramSteps-1)]++
	h.total++
	h.max = max(h.max, d)
}

// quantile is the upper end of the step that holds the q-th part of all values, 0 < q <= 1; at most the largest value.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := int(q*float64(h.total)+0.5), 0
	for i, n := range h.counts {
		if seen += int(n); seen >= rank && seen > 0 {
			return min(time.Duration(i+1)*histogramStep, h.max)
		}
	}
	return h.max
}
