package redisbroker

import "time"

// How often is done what is to be done again and again.
const (
	sweepEvery   = time.Second
	compareEvery = 30 * time.Second
	forgetEvery  = 10 * time.Minute
)

// watchLocked has sweep look at a follow.
func (b *Broker) watchLocked(f *follow) {
	if !f.watched {
		f.watched = true
		b.watched.push(f)
	}
}

// sweep gives up the follows that nobody needs, and reads those lists again that Redis had
// forgotten. It looks at no others.
func (b *Broker) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := scan{b: b}
	for f := range b.watched.drain() {
		f.watched = false
		if b.sweepLocked(f, now) {
			b.watchLocked(f)
		}
		s.nextLocked()
	}
}

// sweepLocked tells whether a follow is to be looked at again.
func (b *Broker) sweepLocked(f *follow, now time.Time) bool {
	unsure := f.crowd != nil && !f.crowd.unsure.IsZero()
	if unsure && now.After(f.crowd.unsure) && f.stateLocked() == stateLive {
		f.lane.readLocked(f)
	}
	if f.occupied {
		return unsure
	}
	if f.stateLocked() == stateReading || f.waiters != nil || now.Sub(b.began)-f.touched < linger {
		return true
	}
	delete(b.follows, f.name)
	if f.lane != nil {
		f.lane.leaveLocked(f)
	}
	return false
}
