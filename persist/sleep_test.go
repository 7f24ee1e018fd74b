package persist

import (
	"sync/atomic"
	"testing"
)

// sleeper counts what a log tells it.
type sleeper struct{ slept, awake atomic.Int64 }

func (s *sleeper) Sleep() { s.slept.Add(1) }
func (s *sleeper) Awake() { s.awake.Add(1) }

func TestSleeperIsToldOfWaitsForTheDisk(t *testing.T) {
	told := &sleeper{}
	b := newBench(t, func(c *Config) { c.Sleeper = told })

	t.Log("a durable event waits for a sync")
	before := told.slept.Load()
	b.start(Append{Key: "news", Rule: standard, Durable: true}, "a")()
	if told.slept.Load() == before {
		t.Fatal("the journal was synced, and nobody was told")
	}

	t.Log("a checkpoint for a commit")
	before = told.slept.Load()
	b.checkpoint()
	if told.slept.Load() == before {
		t.Fatal("a segment was committed, and nobody was told")
	}

	b.close()
	if slept, awake := told.slept.Load(), told.awake.Load(); slept != awake {
		t.Fatalf("told %d times of a wait, %d times of its end", slept, awake)
	}
}
