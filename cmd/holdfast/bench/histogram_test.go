package bench

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Every quantile is within 0.8 % above the exact one, from microseconds to minutes.
func TestHistogramAgainstSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h, half Histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(1000 << (rng.IntN(30))) // 1 µs to 9 minutes
		d += time.Duration(rng.Int64N(int64(d)))
		all = append(all, d)
		if i%2 == 0 {
			h.Add(d)
		} else {
			half.Add(d)
		}
	}
	h.Merge(&half)
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.Quantile(q); got < exact || float64(got) > 1.008*float64(exact) {
			t.Errorf("quantile %v = %v, exactly %v", q, got, exact)
		}
	}
	if h.Count() != uint64(len(all)) || h.Max() != all[len(all)-1] {
		t.Errorf("count %d, max %v; want %d, %v", h.Count(), h.Max(), len(all), all[len(all)-1])
	}
}

func TestHistogramSteps(t *testing.T) {
	for v := uint64(0); v < 1<<44; v = v*17/16 + 1 {
		i := stepOf(v)
		if v < 1<<topBits && (uint64(topOf(i)) < v || i > 0 && uint64(topOf(i-1)) >= v) {
			t.Fatalf("%d is counted in step %d, which ends at %d after %d", v, i, topOf(i), topOf(i-1))
		}
	}
	var h Histogram
	h.Add(-time.Second)
	h.Add(100 * time.Hour)
	if h.Quantile(0.5) != 0 || h.Max() != 100*time.Hour || h.Count() != 2 {
		t.Errorf("out of bounds: p50 %v, max %v, count %d", h.Quantile(0.5), h.Max(), h.Count())
	}
	if q := new(Histogram).Quantile(0.99); q != 0 {
		t.Errorf("empty: p99 %v", q)
	}
}

func TestHistogramBetweenProcesses(t *testing.T) {
	var h, back Histogram
	for d := time.Microsecond; d < time.Hour; d = d * 3 / 2 {
		h.Add(d)
	}
	text, err := json.Marshal(&h)
	if err != nil {
		t.Fatal(err)
	}
	back.Add(time.Hour) // what was there before must go
	if err := json.Unmarshal(text, &back); err != nil || back != h {
		t.Errorf("%v: %s", err, text)
	}
	for _, bad := range []string{`{"steps":[[5000,1]]}`, `[]`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
