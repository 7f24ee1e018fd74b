package bench

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// Geometry of a histogram: 128 steps for each doubling of the value in
// nanoseconds, so a step is at most 1/128 of its values.
const (
	stepBits = 7
	steps    = 1 << stepBits
	// topBits bounds values to 2^43 ns, 2.4 hours; longer ones count in the last step.
	topBits    = 43
	stepsInAll = (topBits-stepBits)*steps + steps
)

// Histogram counts durations in fixed memory, exact to 0.8 %. The zero value is
// empty and ready. Owned by one goroutine.
type Histogram struct {
	counts [stepsInAll]uint64
	total  uint64
	max    time.Duration
}

// stepOf is the step that counts v nanoseconds.
func stepOf(v uint64) int {
	if v < steps {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - stepBits
	return min(shift*steps+int(v>>shift), stepsInAll-1)
}

// topOf is the largest value that step i counts.
func topOf(i int) time.Duration {
	if i < steps {
		return time.Duration(i)
	}
	shift := i/steps - 1
	return time.Duration((uint64(i-shift*steps)+1)<<shift - 1)
}

// Add counts d; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[stepOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is the number of values.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the largest value, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is a value that the q-th part of all values does not exceed, 0 < q <= 1,
// at most 0.8 % above the exact one; 0 when there is no value.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.total) + 0.5)
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(topOf(i), h.max)
		}
	}
	return h.max
}

// reset empties the histogram.
func (h *Histogram) reset() { *h = Histogram{} }

// sparse is a histogram between processes: step and count of each step in use.
type sparse struct {
	Max   time.Duration `json:"max_ns"`
	Steps [][2]uint64   `json:"steps"`
}

// MarshalJSON writes what Merge of another process needs.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	s := sparse{Max: h.max, Steps: [][2]uint64{}}
	for i, n := range h.counts {
		if n > 0 {
			s.Steps = append(s.Steps, [2]uint64{uint64(i), n})
		}
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON wrote, over an empty histogram.
func (h *Histogram) UnmarshalJSON(p []byte) error {
	var s sparse
	if err := json.Unmarshal(p, &s); err != nil {
		return err
	}
	h.reset()
	h.max = s.Max
	for _, step := range s.Steps {
		if step[0] >= stepsInAll {
			return fmt.Errorf("bench: histogram step %d of %d", step[0], stepsInAll)
		}
		h.counts[step[0]] = step[1]
		h.total += step[1]
	}
	return nil
}
