package main

import (
	"sync"
	"time"
)

// probeLimit is how long the log may take a turn: a disk that is merely slow has
// seconds, one that hangs has not.
const probeLimit = 10 * time.Second

// probe watches something that may hang without hanging itself: one call is under
// way at a time.
type probe struct {
	mu    sync.Mutex
	began time.Time // of the call under way; zero = none is
}

// moving starts a call if none is under way, and is false when one has taken too
// long.
func (p *probe) moving(now time.Time, call func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() {
		return now.Sub(p.began) < probeLimit
	}
	p.began = now
	go func() {
		call()
		p.mu.Lock()
		p.began = time.Time{}
		p.mu.Unlock()
	}()
	return true
}
