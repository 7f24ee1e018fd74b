package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// window is how long the first records of a message are counted.
	window = 10 * time.Second
	// firstRecords are written in each window, the others are counted.
	firstRecords = 5
	// maxWindows bounds the table. Messages are constants of the program, far
	// fewer than this; beyond it all further ones share one entry.
	maxWindows = 1024
)

// sampleKey is what counts as the same message.
type sampleKey struct {
	level slog.Level
	msg   string
}

// sample is one open window.
type sample struct {
	ends    time.Time
	seen    int
	handler slog.Handler // of the last counted record: its With fields go on the count
}

// Sampler thins out repeated messages.
type Sampler struct {
	// Immutable after newSampler.
	now func() time.Time

	// Guarded by mu.
	mu   sync.Mutex
	open map[sampleKey]*sample // a window is removed when it has ended
}

func newSampler(now func() time.Time) *Sampler {
	return &Sampler{now: now, open: map[sampleKey]*sample{}}
}

// admit counts a record. pass says whether to write it; ended is the window
// that this record found over, whose count is to be written first.
func (s *Sampler) admit(key sampleKey, h slog.Handler) (pass bool, ended *sample) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.open[key]
	if !ok && len(s.open) >= maxWindows {
		key = sampleKey{level: key.level, msg: "further messages"}
		w, ok = s.open[key]
	}
	if ok && !now.Before(w.ends) {
		ended, ok = w, false
	}
	if !ok {
		w = &sample{ends: now.Add(window)}
		s.open[key] = w
	}
	w.seen++
	if w.seen <= firstRecords {
		return true, ended
	}
	w.handler = h
	return false, ended
}

// Sweep writes the count of every window that has ended. One goroutine of the
// process calls it about once a second.
func (s *Sampler) Sweep() { s.end(false) }

// Flush writes the count of every window, ended or not, before the process ends.
func (s *Sampler) Flush() { s.end(true) }

func (s *Sampler) end(all bool) {
	now := s.now()
	ended := map[sampleKey]*sample{}
	s.mu.Lock()
	for key, w := range s.open {
		if all || !now.Before(w.ends) {
			ended[key] = w
			delete(s.open, key)
		}
	}
	s.mu.Unlock()
	for key, w := range ended {
		w.report(key, now)
	}
}

// report writes how many records of a window were not written.
func (w *sample) report(key sampleKey, now time.Time) {
	if w == nil || w.handler == nil {
		return
	}
	r := slog.NewRecord(now, key.level, key.msg, 0)
	r.AddAttrs(slog.Int("count", w.seen-firstRecords), slog.Int64("dur_ms", window.Milliseconds()))
	// Nothing can be done about a failed write to stderr.
	_ = w.handler.Handle(context.Background(), r)
}

// handler puts the sampler in front of another handler. Copies made by With
// share the sampler.
type handler struct {
	next    slog.Handler
	sampler *Sampler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	key := sampleKey{level: r.Level, msg: r.Message}
	pass, ended := h.sampler.admit(key, h.next)
	ended.report(key, r.Time)
	if !pass {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{next: h.next.WithAttrs(attrs), sampler: h.sampler}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), sampler: h.sampler}
}
