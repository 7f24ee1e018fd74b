package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTrend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	series := func(n int, of func(x float64) float64) (x, y []float64) {
		for i := range n {
			x, y = append(x, float64(10*i)), append(y, of(float64(10*i)))
		}
		return x, y
	}
	for _, tt := range []struct {
		name      string
		of        func(x float64) float64
		slope     float64
		near      float64
		growthFor bool // beyond chance
	}{
		{"nothing moves", func(float64) float64 { return 20 }, 0, 0, false},
		{"a straight line", func(x float64) float64 { return 5 + 0.05*x }, 0.05, 1e-9, true},
		{"a leak in noise", func(x float64) float64 { return 1000 + 0.05*x + 5*r.NormFloat64() }, 0.05, 0.01, true},
		{"noise alone", func(float64) float64 { return 1000 + 50*r.NormFloat64() }, 0, 0.05, false},
		{"it becomes less", func(x float64) float64 { return 1000 - x }, -1, 1e-9, false},
		{"a few odd readings", func(x float64) float64 {
			if int(x)%150 == 0 {
				return 1e9
			}
			return 20
		}, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := trendOf(series(120, tt.of))
			if math.Abs(got.Slope-tt.slope) > tt.near || got.Low > got.Slope || got.High < got.Slope {
				t.Errorf("trend %+v, want %g", got, tt.slope)
			}
			if (got.certain() > 0) != tt.growthFor {
				t.Errorf("certain growth %g of %+v", got.certain(), got)
			}
			if got.unsure() < 0 {
				t.Errorf("unsure by %g", got.unsure())
			}
		})
	}
	for _, n := range []int{0, 1, 2} {
		if got := trendOf(make([]float64, n), make([]float64, n)); got.certain() != 0 || !math.IsInf(got.unsure(), 1) {
			t.Errorf("of %d readings: %+v", n, got)
		}
	}
}

func TestLaterReadings(t *testing.T) {
	if got := laterReadings([]int{1, 2, 3, 4, 5, 6, 7}); len(got) != 5 || got[0] != 3 {
		t.Errorf("%v", got)
	}
}

// The test of the tester: a leak of one descriptor in a thousand connections, and one of ten bytes each, are found.
func TestChurnVerdicts(t *testing.T) {
	series := func(descriptors, goroutines, heap, rss float64) (out []churnReading) {
		for i := range 90 {
			s := float64(10 * i)
			out = append(out, churnReading{Seconds: s, Ours: 4000 + i%7, Descriptors: 4020 + i%7 + int(descriptors*s), Goroutines: 18 + int(goroutines*s),
				HeapGoal: int64(3e6 + float64(i%5)*1e4 + heap*s), RSS: int64(3e7 + float64(i%3)*4096 + rss*s)})
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		change func(r *churnResult)
		fails  int
	}{
		{"flat", func(*churnResult) {}, 0},
		{"descriptors leak", func(r *churnResult) { r.Readings = series(0.5, 0, 0, 0) }, 1},
		{"goroutines leak", func(r *churnResult) { r.Readings = series(0, 0.5, 0, 0) }, 1},
		{"the heap leaks", func(r *churnResult) { r.Readings = series(0, 0, 5000, 0) }, 1},
		{"memory off the heap leaks", func(r *churnResult) { r.Readings = series(0, 0, 0, 5000) }, 1},
		{"descriptors left", func(r *churnResult) { r.After.Descriptors++ }, 1},
		{"goroutines left", func(r *churnResult) { r.After.Goroutines++ }, 1},
		{"one ended too late", func(r *churnResult) { r.Overdue = 1 }, 1},
		{"one ended too soon", func(r *churnResult) { r.Failed = 1 }, 1},
		{"no readings", func(r *churnResult) { r.Readings = nil }, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &churnResult{Rate: 500, Readings: series(0, 0, 0, 0)}
			tt.change(r)
			fails := 0
			for _, v := range r.judge() {
				if !v.Pass {
					fails++
				}
			}
			if fails != tt.fails {
				t.Errorf("%d failed, want %d: %+v", fails, tt.fails, r.judge())
			}
			if _, err := indented(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMemStat(t *testing.T) {
	const profile = "heap profile: 1: 2 [3: 4] @ heap/1048576\n\n# runtime.MemStats\n# Alloc = 1\n# HeapAlloc = 2435288\n# NextGC = 3772381\n"
	if got, err := memStat(profile, "HeapAlloc"); got != 2435288 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := memStat(profile, "Alloc2"); err == nil {
		t.Error("a figure that is not there was read")
	}
}
