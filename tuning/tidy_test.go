package tuning

import (
	"runtime"
	"testing"
	"time"
)

// tidyCase drives a Tidy by its own clock over a heap that the test describes.
type tidyCase struct {
	t     *testing.T
	tidy  *Tidy
	now   time.Time
	heap  heapState
	freed int
}

// newTidyCase is a server that has just given back what its start left.
func newTidyCase(t *testing.T) *tidyCase {
	c := &tidyCase{t: t, now: time.Unix(1000, 0), heap: heapState{allocated: 10 << 20, held: 20 << 20}}
	c.tidy = &Tidy{read: func() heapState { return c.heap }, free: func() { c.freed++ }}
	c.pass(time.Minute)
	c.want(1, "it was quiet after the start")
	c.freed = 0
	return c
}

// pass looks once a second.
func (c *tidyCase) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		c.now = c.now.Add(time.Second)
		c.tidy.Look(c.now)
	}
}

func (c *tidyCase) want(n int, why string) {
	c.t.Helper()
	if c.freed != n {
		c.t.Fatalf("memory was given back %d times, want %d: %s", c.freed, n, why)
	}
}

func TestTidyWaitsForQuiet(t *testing.T) {
	c := newTidyCase(t)
	for range 30 {
		c.heap.allocated += 2 << 20
		c.pass(time.Second)
	}
	c.want(0, "the server is busy")
	c.pass(10 * time.Second)
	c.want(1, "it is not any more")
	c.pass(time.Hour)
	c.want(1, "nothing was allocated since")
}

func TestTidyGoesOnThroughATrickle(t *testing.T) {
	c := newTidyCase(t)
	c.heap.allocated += 40 << 20
	for range 10 {
		c.heap.allocated += tidyTrickle / 10
		c.pass(time.Second)
	}
	c.want(1, "a trickle is no work")
}

func TestTidyLeavesLittleAlone(t *testing.T) {
	c := newTidyCase(t)
	c.heap.allocated += 1900 << 10
	c.pass(time.Hour)
	c.want(0, "less than a tenth of what is held can be garbage")
	c.heap.allocated += 300 << 10
	c.pass(time.Minute)
	c.want(1, "more than that")
	c.heap.held, c.heap.allocated = 5<<20, c.heap.allocated+900<<10
	c.pass(time.Minute)
	c.want(1, "however small the server is")
}

// TestTidyShrinksTheProcess is the whole of it on the real heap. It goes by what the
// runtime holds, not by the resident size: the race detector keeps its own account of
// memory that was given back.
func TestTidyShrinksTheProcess(t *testing.T) {
	const burst = 128 << 20
	tidy := NewTidy()
	now := time.Unix(1000, 0)
	tidy.Look(now)
	before := tidy.read().held
	garbage := make([][]byte, 0, burst>>16)
	for range burst >> 16 {
		b := make([]byte, 1<<16)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		garbage = append(garbage, b)
	}
	busy := tidy.read().held
	runtime.KeepAlive(garbage)
	if busy < before+burst/2 {
		t.Fatalf("the burst is not held: %d, %d before", busy, before)
	}
	freed := false
	for range 10 {
		now = now.Add(time.Second)
		freed = tidy.Look(now) || freed
	}
	if after := tidy.read().held; !freed || after > before+burst/4 {
		t.Fatalf("given back: %v; held %d, %d when busy, %d before", freed, after, busy, before)
	}
}
