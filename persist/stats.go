package persist

import (
	"sync"
	"sync/atomic"
)

// stats are the log's counters: written by its goroutines, read by the collector.
type stats struct {
	epochs       atomic.Uint64 // epochs that ended
	unlogged     atomic.Uint64 // events handed out that are not in the log
	refused      atomic.Uint64 // calls of Append that were refused
	damaged      atomic.Uint64 // files found damaged
	committed    atomic.Uint64 // events written to segments
	droppedFiles atomic.Uint64
	droppedHeads atomic.Uint64
	replayed     atomic.Uint64 // journal groups read at the start
	resident     atomic.Int64
	tailBytes    atomic.Int64
	errors       errorCounts
	syncs        histogram // seconds of a journal sync
	commits      histogram // seconds of a commit
	groups       histogram // events of a journal write
}

// Bounds of the histograms.
var (
	secondBounds = [...]float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
	eventBounds  = [...]float64{1, 4, 16, 64, 256, 1024, 4096}
)

func (s *stats) init() {
	s.syncs.init(secondBounds[:])
	s.commits.init(secondBounds[:])
	s.groups.init(eventBounds[:])
}

func (s *stats) group(events int) { s.groups.observe(float64(events)) }

// errorCounts counts errors by operation and errno, both of closed sets.
type errorCounts struct {
	mu     sync.Mutex
	counts map[errorLabel]uint64 // guarded by mu
}

type errorLabel struct{ op, errno string }

func (e *errorCounts) count(op string, err error) {
	errno := "none"
	if err != nil {
		errno = errnoOf(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts == nil {
		e.counts = map[errorLabel]uint64{}
	}
	e.counts[errorLabel{op, errno}]++
}

// histogram counts observations in fixed buckets. Any goroutine.
type histogram struct {
	mu     sync.Mutex
	counts []uint64 // guarded by mu; one more than the bounds
	sum    float64  // guarded by mu
	bounds []float64
}

func (h *histogram) observe(v float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}

func (h *histogram) init(bounds []float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bounds, h.counts = bounds, make([]uint64, len(bounds)+1)
}

// read returns the cumulative counts.
func (h *histogram) read() (buckets map[float64]uint64, count uint64, sum float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	buckets = make(map[float64]uint64, len(h.bounds))
	for i, b := range h.bounds {
		count += h.counts[i]
		buckets[b] = count
	}
	return buckets, count + h.counts[len(h.bounds)], h.sum
}

// Stats is a look at the log.
type Stats struct {
	Queued         int64 // events that wait for a sequencer
	Durable        int64 // durable events not handed out yet
	Unsaved        int64 // events not in a segment yet
	UnsavedBytes   int64
	Resident       int64 // heads in memory
	Broken         int64 // channels that have handed out unlogged events
	Behind         bool  // the mark stands
	Degraded       bool  // the last write failed a moment ago
	Unlogged       uint64
	Refused        uint64
	Epochs         uint64
	Damaged        uint64
	Committed      uint64
	ReplayedGroups uint64
	JournalBytes   int64 // of the newest part
}

// Stats may be called at any time until Close.
func (l *Log) Stats() Stats {
	s := &l.stats
	journalBytes := int64(0)
	if !l.standby.Load() {
		journalBytes = l.journal.Bytes()
	}
	return Stats{
		Queued: l.queued.events.Load(), Durable: l.durable.Load(),
		Unsaved: l.unsavedEvents.Load(), UnsavedBytes: l.unsaved.Load(),
		Resident: s.resident.Load(), Broken: l.broken.Load(), Behind: l.mark.stands(), Degraded: l.standby.Load() || l.degraded(l.nowMS()),
		Unlogged: s.unlogged.Load(), Refused: s.refused.Load(), Epochs: s.epochs.Load(), Damaged: s.damaged.Load(),
		Committed: s.committed.Load(), ReplayedGroups: s.replayed.Load(), JournalBytes: journalBytes,
	}
}

func (e *errorCounts) each(visit func(l errorLabel, n uint64)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l, n := range e.counts {
		visit(l, n)
	}
}
