package persist

import (
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Head is where a channel stands, from memory only: it never waits for a disk and
// may be called on an event loop. resident false: it is on disk, ask Load. A channel
// that has had no events stands at (the life's id, 0).
func (l *Log) Head(key string) (p Position, resident bool) {
	if l.standby.Load() {
		return l.lost(), true
	}
	nowMS := l.nowMS()
	if c := l.shardOf(key).find(key); c != nil {
		c.touched.Store(nowMS)
		return c.position(nowMS), true
	}
	if l.store.MayHaveHead(key) {
		return Position{}, false
	}
	return Position{Epoch: l.meta.Load().id}, true
}

// Load is Head for a channel that is not resident, and makes it so for at least
// Config.Resident. It may read the disk.
func (l *Log) Load(key string) (Position, error) {
	if l.standby.Load() {
		return l.lost(), nil
	}
	c, err := l.shardOf(key).load(key)
	if err != nil {
		return Position{}, err
	}
	return l.positionOf(c), nil
}

func (l *Log) positionOf(c *channel) Position {
	if c == nil {
		return Position{Epoch: l.meta.Load().id}
	}
	return c.position(l.nowMS())
}

// Last is a cache channel's last event and how long it still lives, from memory only:
// false when there is none, its time is over, or the channel is not resident.
func (l *Log) Last(key string) (e Event, left time.Duration, ok bool) {
	if l.standby.Load() {
		return Event{}, 0, false
	}
	c := l.shardOf(key).find(key)
	if c == nil {
		return Event{}, 0, false
	}
	nowMS := l.nowMS()
	c.touched.Store(nowMS)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.live(nowMS) {
		return Event{}, 0, false
	}
	return c.last.event, time.Duration(c.last.expires-nowMS) * time.Millisecond, true
}

// Block is a block that holds seq: as much of its surroundings as is at hand, within
// one group of 64. It may read the disk. ErrGone: the event is not kept, or not
// visible.
func (l *Log) Block(key string, seq uint64) (*Block, error) {
	if l.standby.Load() {
		return nil, ErrUnavailable
	}
	c, err := l.shardOf(key).load(key)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, ErrGone
	}
	return l.block(c, seq)
}

// Hot is Block from memory only: it never waits for a disk and may be called on an
// event loop. nil: not in memory, or not there.
func (l *Log) Hot(key string, seq uint64) *Block {
	if l.standby.Load() {
		return nil
	}
	c := l.shardOf(key).find(key)
	if c == nil {
		return nil
	}
	b, to := c.memory(seq)
	if b == nil && to != 0 {
		if b = l.store.Hot(key, seq); b != nil && b.Last > to {
			return nil
		}
	}
	return b
}

func (l *Log) block(c *channel, seq uint64) (*Block, error) {
	b, to := c.memory(seq)
	if b != nil {
		return b, nil
	}
	if to == 0 {
		return nil, ErrGone
	}
	// What was in the index when memory looked is there still, or on disk by now.
	b, err := l.store.Block(c.key, seq, to)
	if err != nil {
		return nil, err
	}
	if (b.Last-1)/segment.GroupEvents == (to-1)/segment.GroupEvents {
		c.mu.Lock()
		c.keepLocked(b)
		c.mu.Unlock()
	}
	return b, nil
}

// memory is a block of events that need not be read. When there is none, to is the
// last event on disk if seq must be there, and 0 if it is nowhere.
func (c *channel) memory(seq uint64) (b *Block, to uint64) {
	nowMS := c.shard.log.nowMS()
	c.touched.Store(nowMS)
	c.read.Store(nowMS)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case seq == 0 || seq > c.seen.seq || seq <= c.floor:
		return nil, 0
	case c.tail != nil && c.tail.Has(seq):
		return c.tail, 0
	case c.holdsLocked(seq):
		b = c.buildLocked(seq, c.seen.seq)
		if b != nil {
			c.keepLocked(b)
		}
		return b, 0
	default:
		return nil, min(c.saved, c.seen.seq)
	}
}

// buildLocked makes a block around seq from the index, up to last, joined to the
// tail where that ends just before the index; nil when the event was withdrawn. mu
// is held.
func (c *channel) buildLocked(seq, last uint64) *Block {
	group := (seq - 1) / segment.GroupEvents
	low, high := group*segment.GroupEvents+1, (group+1)*segment.GroupEvents
	joined := c.tail
	if joined != nil && (joined.Last+1 != c.first || joined.Last < low) {
		joined = nil
	}
	low, high = max(low, c.first, c.floor+1), min(high, last, c.endLocked()-1)
	records := make([]segment.Record, 0, segment.GroupEvents)
	if joined != nil && low == c.first {
		for at := max(joined.First, c.floor+1); at <= joined.Last; at++ {
			var r segment.Record
			joined.Record(at, &r)
			records = append(records, r)
		}
	}
	for at := low; at <= high; at++ {
		e := &c.events[at-c.first]
		if e.withdrawn {
			if at >= seq {
				break
			}
			records = records[:0]
			continue
		}
		records = append(records, e.record(c.key, at))
	}
	for len(records) > 0 && records[0].Seq <= seq {
		b, err := segment.NewBlock(records)
		if err != nil || b.Has(seq) {
			return b
		}
		records = records[b.Len():]
	}
	return nil
}

// keepLocked makes b, or nothing, the tail that is kept in memory. mu is held.
func (c *channel) keepLocked(b *Block) {
	stats := &c.shard.log.stats
	if c.left || b != nil && c.tail != nil && b.Last < c.tail.Last {
		return
	}
	if b != nil && stats.tailBytes.Load() > c.shard.log.cfg.CacheBytes/4 {
		b = nil
	}
	stats.tailBytes.Add(blockCost(b) - blockCost(c.tail))
	c.tail = b
}

func blockCost(b *Block) int64 {
	if b == nil {
		return 0
	}
	return int64(len(b.Payloads(b.First, b.Last))+len(b.Key)) + int64(b.Len())*32 + 256
}
