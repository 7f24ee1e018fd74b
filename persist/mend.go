package persist

import (
	"github.com/holdfast-edge/holdfast/persist/journal"
)

// lose notes that the channel is about to hand out an event that the log does not
// have. The mark stands before anybody gets it. flight is held.
func (s *shard) lose(c *channel) {
	s.log.stats.unlogged.Add(1)
	if c.behind {
		return
	}
	c.behind = true
	s.broken = append(s.broken, c)
	s.log.broken.Add(1)
	if err := s.log.mark.raise(c.next.durable); err != nil {
		s.log.readFailed("mark", err)
	}
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
}

// orphan is a channel whose head cannot be read: it begins anew under an epoch that
// nobody has seen.
func (s *shard) orphan(key string) *channel {
	s.loading.Lock()
	defer s.loading.Unlock()
	if c := s.find(key); c != nil {
		return c
	}
	state := headState{era: &era{epoch: newEpoch()}, life: s.log.meta.Load().life}
	c := s.newChannel(key, state)
	c.changes++
	s.insert(c)
	s.list(c)
	s.log.stats.epochs.Add(1)
	return c
}

// mend gives the broken channels new epochs as soon as the log can write. It is also
// what tries whether it can.
func (s *shard) mend() {
	s.owner.Check()
	for len(s.broken) > 0 && s.log.canWrite(s.log.nowMS()) {
		if !s.turn(s.mendable()) {
			return
		}
	}
}

// mendable takes up to a group of broken channels none of whose events wait: an
// epoch must not change under an event that has its place in the old one.
func (s *shard) mendable() []*channel {
	var ready []*channel
	rest := s.broken[:0]
	for _, c := range s.broken {
		if c.waiting == 0 && len(ready) < s.log.cfg.GroupEvents {
			ready = append(ready, c)
		} else {
			rest = append(rest, c)
		}
	}
	clear(s.broken[len(rest):])
	s.broken = rest
	return ready
}

// turn writes new epochs for channels, which begin behind all that was assigned. It
// tells whether it did; if not, the channels are broken.
func (s *shard) turn(channels []*channel) bool {
	if len(channels) == 0 {
		return false
	}
	l := s.log
	s.flight.Lock()
	defer s.flight.Unlock()
	buf := make([]byte, journal.FrameLen, journal.FrameLen+len(channels)*128)
	states := make([]headState, len(channels))
	nowMS := l.nowMS()
	for i, c := range channels {
		state := c.next
		state.era = &era{epoch: newEpoch(), start: state.seq}
		state.life = l.meta.Load().life
		kept := state.seq
		if c.gone == state.seq && c.gone > 0 {
			kept = c.kept
		}
		r := record{
			kind: kindTurn, life: state.life, timeMS: max(nowMS, state.timeMS),
			seq: state.seq, start: state.seq, total: kept,
		}
		if state.durable {
			r.flags |= flagDurable
		}
		at := len(buf)
		buf = appendRecord(buf, &r, c.key, state.era.epoch, "")
		endRecord(buf, at, 0, r.total)
		states[i] = state
	}
	if _, err := l.journal.Append(buf); err != nil {
		l.writeFailed("write", err, nowMS)
		for _, c := range channels {
			if c.behind {
				s.broken = append(s.broken, c)
			} else {
				s.lose(c)
			}
		}
		return false
	}
	l.writeWorked()
	for i, c := range channels {
		c.next = states[i]
		if c.behind {
			c.behind = false
			l.broken.Add(-1)
		}
		c.mu.Lock()
		c.seen, c.broken = states[i], false
		c.changes++
		c.mu.Unlock()
		s.list(c)
		l.stats.epochs.Add(1)
	}
	return true
}

// renew gives a channel a new epoch, unless it no longer has the one that was found
// wanting. Events up to floor are given out no more. Any goroutine; waits.
func (l *Log) renew(key string, found *era, floor uint64) {
	s := l.shardOf(key)
	s.do(func() {
		c := s.find(key)
		if c == nil || c.next.era != found {
			return
		}
		c.mu.Lock()
		c.floor = max(c.floor, floor)
		c.mu.Unlock()
		if c.waiting > 0 || c.behind {
			s.flight.Lock()
			s.lose(c) // mend turns it once nothing waits
			s.flight.Unlock()
			return
		}
		s.turn([]*channel{c})
	})
}
