package persist

import (
	"fmt"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// find returns the resident channel, or nil. Memory only; any goroutine.
func (s *shard) find(key string) *channel {
	s.table.RLock()
	defer s.table.RUnlock()
	return s.channels[key]
}

// load returns the channel, reading its head if it is not resident; nil when the
// channel has none. It may read the disk; any goroutine.
func (s *shard) load(key string) (*channel, error) {
	if c := s.find(key); c != nil {
		c.touched.Store(s.log.nowMS())
		return c, nil
	}
	if !s.log.store.MayHaveHead(key) {
		return nil, nil
	}
	// One at a time: what is read must not be older than what another has put in
	// meanwhile, changed, written and evicted.
	s.loading.Lock()
	defer s.loading.Unlock()
	if c := s.find(key); c != nil {
		return c, nil
	}
	h, ok, err := s.log.store.Head(key)
	if err != nil {
		return nil, fmt.Errorf("persist: head of %q: %w", key, err)
	}
	if !ok {
		return nil, nil
	}
	c := s.newChannel(key, s.log.adopt(h))
	if h.Last != nil {
		if c.last, err = decodeLast(h.Last); err != nil {
			s.log.warn("the last event of a channel is damaged and left out", "key", key, "err", err)
		}
	}
	s.insert(c)
	return c, nil
}

// adopt turns a stored head into where the channel stands now: a head of an earlier
// life continues in a new epoch unless its channel is durable.
func (l *Log) adopt(h segment.Head) headState {
	return l.proved(h.Key, headState{
		era: &era{epoch: h.Epoch, start: h.Start}, seq: h.Seq, total: h.Total, timeMS: h.TimeMS,
		life: h.Life, durable: h.Durable,
	})
}

// proved is state under an epoch that this life can prove.
func (l *Log) proved(key string, state headState) headState {
	m := l.meta.Load()
	if state.life < m.hard || state.life < m.life && !state.durable {
		state.era = &era{epoch: m.derivedEpoch(key, state.era.epoch), start: state.seq}
		l.stats.epochs.Add(1)
	}
	state.life = m.life
	return state
}

// newChannel makes a channel all of whose events are visible and in segments.
func (s *shard) newChannel(key string, state headState) *channel {
	c := &channel{key: key, shard: s, next: state, seen: state, saved: state.seq}
	c.touched.Store(s.log.nowMS())
	return c
}

// insert makes a channel resident. The caller holds loading.
func (s *shard) insert(c *channel) {
	s.table.Lock()
	defer s.table.Unlock()
	s.channels[c.key] = c
	s.ring = append(s.ring, c)
	s.log.stats.resident.Add(1)
}

// obtain returns the channel of an event, making one if it has no head.
func (s *shard) obtain(key string) (*channel, error) {
	c, err := s.load(key)
	if c != nil || err != nil {
		return c, err
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if c := s.find(key); c != nil {
		return c, nil
	}
	c = s.newChannel(key, s.log.unborn())
	s.insert(c)
	return c, nil
}

// unborn is where a channel without a head stands.
func (l *Log) unborn() headState {
	m := l.meta.Load()
	return headState{era: &era{epoch: m.id}, life: m.life}
}

// evict looks at up to n channels, the least recently looked at first, and lets go
// of those that nobody used for a while and that are on disk as they are.
func (s *shard) evict(nowMS int64, n int) {
	resident := s.log.cfg.Resident.Milliseconds()
	const step = 256 // lookups wait while the table is held
	for ; n > 0; n -= step {
		s.flight.Lock()
		s.table.Lock()
		looked := min(step, n, len(s.ring))
		kept := s.ring[:looked:looked]
		s.ring = s.ring[looked:]
		for _, c := range kept {
			if nowMS-c.touched.Load() > resident && c.idle() {
				delete(s.channels, c.key)
				s.log.stats.resident.Add(-1)
				c.leave()
				continue
			}
			s.ring = append(s.ring, c)
		}
		clear(kept)
		s.table.Unlock()
		s.flight.Unlock()
		if looked < step {
			return
		}
	}
}

// idle tells whether the disk has all of the channel. shard.flight is held.
func (c *channel) idle() bool {
	if c.waiting > 0 || c.behind || c.listed {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events) == 0 && c.changes == c.written
}
