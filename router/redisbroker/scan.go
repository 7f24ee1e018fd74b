package redisbroker

import "runtime"

// scanMost is how many are looked at before mu is let go: a loop that asks for a Head waits
// for as many, and not for a million.
const scanMost = 128

// scan is a look through all of something that mu guards. A map may change while it is
// ranged over: what is in it all the time comes once, what comes meanwhile may come or not
// (the language's specification, "For range"). It is the mutex that keeps the change and the
// look apart, so letting go of it in between is enough.
type scan struct {
	b *Broker
	n int
}

// nextLocked is called for each, and now and then lets go of mu for a moment.
func (s *scan) nextLocked() {
	if s.n++; s.n < scanMost {
		return
	}
	s.n = 0
	s.b.mu.Unlock()
	runtime.Gosched() // whoever waits for mu has it now, not after a millisecond of waiting
	s.b.mu.Lock()
}
