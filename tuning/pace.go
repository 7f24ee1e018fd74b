package tuning

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// paceLeast is how much may be allocated between two collections at least. A
	// collection costs the same stops, stack scans and emptied pools however small the
	// heap is: with GOGC alone, a server of 10 MB that publishes 35,000 events a second
	// would be collected thirty times in it. It is about what the resident size of a
	// busy server moves by anyway. Unit: bytes.
	paceLeast = 16 << 20
	// paceHeap is the least that the runtime multiplies with GOGC. Unit: bytes.
	paceHeap = 4 << 20
	// paceStep: a percentage is changed when it is off by more than this part of it.
	// Each change stops the world for some ten microseconds.
	paceStep = 8
)

// Pace keeps the collector of a small heap from running all the time, and leaves that
// of a large one to GOGC. It looks after every collection, so that a heap which grows
// is never allowed more than the one before it called for.
//
// Its methods may be called by any goroutine.
type Pace struct {
	read func() uint64 // what GOGC is a percentage of: live heap and roots; mu is held. Unit: bytes
	set  func(percent int)

	mu       sync.Mutex
	least    int  // guarded by mu: percent, of a large heap
	now      int  // guarded by mu: percent in force; 0: not known
	watching bool // guarded by mu
}

// End leaves GOGC as it is from now on.
func (p *Pace) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
}

// NewPace is for this process. It does nothing yet.
func NewPace() *Pace {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	return &Pace{
		set: func(percent int) { debug.SetGCPercent(percent) },
		read: func() (sum uint64) {
			metrics.Read(samples)
			for _, s := range samples {
				sum += s.Value.Uint64()
			}
			return sum
		},
	}
}

// begin puts a percentage in force that a large heap has; it may be changed later.
func (p *Pace) begin(percent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.least, p.now = percent, 0
	p.adjust()
	if !p.watching {
		p.watching = true
		p.watch()
	}
}

// adjust puts the percentage in force that the heap calls for now. mu is held.
func (p *Pace) adjust() {
	want := max(p.least, int(paceLeast*100/max(p.read(), paceHeap)))
	if off := want - p.now; max(off, -off) > p.now/paceStep || want == p.least && off != 0 {
		p.now = want
		p.set(want)
	}
}

// watch has adjust called after each collection: that is when the runtime finds that
// nobody holds the object, and calls its finalizer.
func (p *Pace) watch() {
	type watched struct{ p *Pace }
	runtime.SetFinalizer(&watched{p}, func(w *watched) {
		w.p.mu.Lock()
		defer w.p.mu.Unlock()
		if w.p.watching {
			w.p.adjust()
			w.p.watch()
		}
	})
}
