package tuning

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestPaceGoesByTheHeap: what a small heap may allocate between two collections is the
// same, however small it is; a large one goes by its percentage.
func TestPaceGoesByTheHeap(t *testing.T) {
	heap, sets := uint64(0), []int(nil)
	p := &Pace{least: 50, read: func() uint64 { return heap }, set: func(n int) { sets = append(sets, n) }}
	for _, c := range []struct {
		why  string
		heap uint64
		want int
	}{
		{"the runtime multiplies no less than 4 MiB", 1 << 20, 400},
		{"twice that", 8 << 20, 200},
		{"a little more is not worth a stop", 8<<20 + 256<<10, 200},
		{"the bound", 32 << 20, 50},
		{"beyond", 10 << 30, 50},
		{"and back", 16 << 20, 100},
		{"the percentage itself is reached exactly", 31<<20 + 512<<10, 50},
	} {
		heap = c.heap
		p.adjust()
		if got := sets[len(sets)-1]; got != c.want {
			t.Errorf("%s: %d MiB have GOGC %d, want %d", c.why, c.heap>>20, got, c.want)
		}
	}
	if len(sets) != 5 {
		t.Errorf("it was set %d times: %v", len(sets), sets)
	}
}

// TestPaceOnTheRealHeap goes by the runtime's goal, which it sets after a collection:
// without a Pace it would be 1.5 times what lives.
func TestPaceOnTheRealHeap(t *testing.T) {
	oldLimit := debug.SetMemoryLimit(-1)
	oldPercent := debug.SetGCPercent(100)
	pace := NewPace()
	defer func() {
		pace.End()
		debug.SetMemoryLimit(oldLimit)
		debug.SetGCPercent(oldPercent)
		debug.FreeOSMemory() // other tests look at what the runtime holds
	}()
	ApplyMemory(MemoryOptions{Bytes: 4 << 30, LookupEnv: lookup(nil), Pace: pace})

	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"}}
	settles := func(what string, ok func(live, goal uint64) bool) {
		t.Helper()
		var live, goal uint64
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			runtime.GC() // its finalizers run soon after it
			metrics.Read(samples)
			if live, goal = samples[0].Value.Uint64(), samples[1].Value.Uint64(); ok(live, goal) {
				return
			}
		}
		t.Fatalf("%s: %d bytes live, the goal is %d", what, live, goal)
	}
	settles("a small heap", func(live, goal uint64) bool { return live < 20<<20 && goal-live > paceLeast/4*3 })
	large := make([]byte, 200<<20)
	settles("a large heap", func(live, goal uint64) bool { return live > 200<<20 && goal < live+live*6/10 })
	runtime.KeepAlive(large)
	large = nil
	settles("a small heap again", func(live, goal uint64) bool { return live < 20<<20 && goal-live > paceLeast/4*3 })
}
