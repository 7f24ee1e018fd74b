package main

import (
	"fmt"
	"math"
	"testing"
)

// lagMetrics are the samples of a histogram, by the turns in each bucket.
func lagMetrics(half, one, twenty, more float64) metrics {
	m := metrics{}
	n := 0.0
	for _, b := range []struct {
		le    string
		turns float64
	}{{"0.0005", half}, {"0.001", one}, {"0.02", twenty}, {"+Inf", more}} {
		n += b.turns
		m[fmt.Sprintf("%s_bucket{le=%q}", lagMetric, b.le)] = n
	}
	m[lagMetric+"_count"], m[lagMetric+"_sum"] = n, 0.001*n
	return m
}

func TestLagSince(t *testing.T) {
	before := lagMetrics(1000, 5, 5, 5)
	for _, tt := range []struct {
		name  string
		after metrics
		want  lag
	}{
		{"all short", lagMetrics(1100, 5, 5, 5), lag{Turns: 100, P99: 0.5, Max: 0.5, Mean: 1}},
		{"one in a hundred long", lagMetrics(1099, 5, 6, 5), lag{Turns: 100, P99: 0.5, Max: 20, Mean: 1}},
		{"two", lagMetrics(1098, 5, 7, 5), lag{Turns: 100, P99: 20, Max: 20, Mean: 1}},
		{"beyond all bounds", lagMetrics(1090, 5, 5, 15), lag{Turns: 100, P99: 40, Max: 40, Mean: 1, Over: 10}},
		{"no turn", before, lag{}},
	} {
		got, err := lagSince(before, tt.after)
		if got.Mean = math.Round(1e6*got.Mean) / 1e6; err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	if _, err := lagSince(metrics{}, metrics{"other": 1}); err == nil {
		t.Error("a server without the histogram")
	}
}

func TestWorstLag(t *testing.T) {
	got := worst(lag{Turns: 10, P99: 1, Max: 2, Mean: 1}, lag{Turns: 30, P99: 0.5, Max: 5, Mean: 2, Over: 3})
	if want := (lag{Turns: 40, P99: 1, Max: 5, Mean: 1.75, Over: 3}); got != want {
		t.Errorf("%+v", got)
	}
}
