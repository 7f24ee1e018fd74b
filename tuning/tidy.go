package tuning

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// tidyQuiet is how long little must have been allocated, and tidyPause how long
	// after the last one the next may come.
	tidyQuiet = 5 * time.Second
	tidyPause = 15 * time.Second
	// tidyTrickle is what a server with nothing to do allocates in tidyQuiet at most:
	// ticks, a scrape, a checkpoint. Unit: bytes.
	tidyTrickle = 1 << 20
	// tidyShare of what the runtime holds must have been allocated since the last time,
	// and tidyLeast bytes: less is not worth a collection.
	tidyShare = 10 // percent
	tidyLeast = 1 << 20
)

// heapState is what the runtime says of its memory. Unit: bytes.
type heapState struct {
	allocated uint64 // since the start
	held      uint64 // from the kernel, now
}

// Tidy gives memory back when a busy time has ended. A server that allocates nothing
// is not collected but every two minutes, and the runtime keeps what it once had for
// some time more; operators, and admission.memory_bytes, go by the resident size.
//
// One goroutine owns it.
type Tidy struct {
	read func() heapState
	free func()

	quietSince time.Time // zero: before the first look
	mark       uint64    // allocated when the quiet time began
	tidied     time.Time
	after      uint64 // allocated when the last one ended
}

// NewTidy looks at this process.
func NewTidy() *Tidy {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	return &Tidy{free: giveBack, read: func() heapState {
		metrics.Read(samples)
		value := func(i int) uint64 { return samples[i].Value.Uint64() }
		return heapState{allocated: value(0), held: value(1) - value(2)}
	}}
}

// giveBack collects twice: pools keep what they hold over one collection. What the
// runtime passes over it is made to look at again.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
	if stir() {
		debug.FreeOSMemory()
	}
}

// Look is called about once a second. It reports whether memory was given back, which
// takes as long as a collection.
func (t *Tidy) Look(now time.Time) bool {
	h := t.read()
	if t.quietSince.IsZero() || h.allocated-t.mark > tidyTrickle {
		t.quietSince, t.mark = now, h.allocated
	}
	if now.Sub(t.quietSince) < tidyQuiet {
		return false
	}
	t.mark = h.allocated // a trickle never ends a quiet time
	// How much of it is garbage only a collection can tell: what lived at the last one
	// may have been the busy time's. But no more than was allocated since is.
	worth := max(tidyLeast, h.held/100*tidyShare)
	if h.allocated-t.after < worth || (!t.tidied.IsZero() && now.Sub(t.tidied) < tidyPause) {
		return false
	}
	t.free()
	t.tidied, t.after = now, t.read().allocated
	return true
}
