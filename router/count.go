package router

import (
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

const (
	// countFreely is up to how many subscribers every change is told at once.
	countFreely = 100
	// countEvery is how often a larger channel's count is told at most.
	countEvery = 5 * time.Second
)

// counted is the state of pusher_internal:subscription_count for one channel.
// Guarded by the channel's directory lock.
type counted struct {
	told    uint32 // last count that was sent
	others  uint32 // how many of the last sum were on other nodes
	at      int64  // when, monotonic ns
	pending bool   // in some Shard.counts
}

// counts tells whether subscribers of a kind of channel are told how many they are.
// Applications opt in; presence channels have their member list instead.
func (app *App) counts(kind pusher.Kind) bool {
	return kind&pusher.Presence == 0 && app.conf.Load().SubscriptionCount
}

// countChangedLocked tells the subscribers how many they are, or makes a later tick
// do so.
func (s *Shard) countChangedLocked(ch *channel) {
	if !ch.app.counts(ch.kind) {
		return
	}
	if s.r.broker != nil {
		s.r.tally.mark(logKey(ch.app, ch.name), true)
		return
	}
	c := &ch.extraLocked().count
	if ch.members <= countFreely || c.at == 0 || s.now-c.at >= int64(countEvery) {
		s.sendCountLocked(ch, c)
		return
	}
	if !c.pending {
		c.pending = true
		s.counts = append(s.counts, ch)
	}
}

func (s *Shard) sendCountLocked(ch *channel, c *counted) {
	s.text = s.r.tellCountLocked(ch, c, ch.members, s.now, s.text[:0])
}

// tellCountLocked tells the subscribers of this node a count. room is room for the text,
// which is returned.
func (r *Router) tellCountLocked(ch *channel, c *counted, n uint32, now int64, room []byte) []byte {
	c.told, c.at = n, now
	text := pusher.AppendSubscriptionCount(room, ch.name, int(n))
	r.postLocked(ch, r.newDelivery(ch.app, sentCount, text, now))
	return text
}

// sendCounts sends what has waited long enough.
func (s *Shard) sendCounts() {
	kept := s.counts[:0]
	for _, ch := range s.counts {
		if s.countDue(ch) {
			kept = append(kept, ch)
		}
	}
	clear(s.counts[len(kept):])
	s.counts = kept
}

// countDue sends a waiting count if its time has come; true = it still waits.
func (s *Shard) countDue(ch *channel) bool {
	dir := ch.app.dir.shard(ch.name)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	c := &ch.extraLocked().count
	if ch.members > 0 && s.now-c.at < int64(countEvery) {
		return true
	}
	c.pending = false
	if ch.members > 0 && c.told != ch.members {
		s.sendCountLocked(ch, c)
	}
	return false
}

// sweepCaches drops cached events whose time is over from this loop's share of the
// directories.
func (s *Shard) sweepCaches() {
	loops := len(s.r.shards)
	for _, app := range s.r.allApps() {
		for i := s.id; i < dirShards; i += loops {
			dir := &app.dir.shards[i]
			if dir.cache.size.Load() == 0 {
				continue
			}
			dir.mu.Lock()
			dir.cache.sweepLocked(s.now, sweepEvents)
			dir.mu.Unlock()
		}
	}
}

// sweepEvents bounds what one tick drops under one lock; the rest waits a second.
const sweepEvents = 4096
