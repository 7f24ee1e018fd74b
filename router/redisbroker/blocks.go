package redisbroker

import (
	"container/list"
	"slices"
	"sync"

	"github.com/holdfast-edge/holdfast/router"
)

// run is how many numbers a block is aligned to.
const run = 64

// block is a run of consecutive events of a stream. Immutable.
type block struct {
	first   uint64
	frames  []byte // whole frames, one behind the other
	ends    []int  // of each frame in frames
	sizes   []int  // as rules count them: of all events up to each
	times   []int64
	origins []string // nil = none was for all but one
}

// newBlock makes one out of consecutive events.
func newBlock(events []*message) *block {
	k := &block{first: events[0].seq, ends: make([]int, 0, len(events)), sizes: make([]int, 0, len(events)), times: make([]int64, 0, len(events))}
	size := 0
	for i, m := range events {
		k.frames = router.AppendStored(k.frames, m.text, m.seq)
		k.ends = append(k.ends, len(k.frames))
		size += m.size()
		k.sizes = append(k.sizes, size)
		k.times = append(k.times, m.timeMS)
		if m.origin != "" {
			if k.origins == nil {
				k.origins = make([]string, len(events))
			}
			k.origins[i] = m.origin
		}
	}
	return k
}

// Span implements router.LogBlock.
func (k *block) Span() (first, last uint64) { return k.first, k.first + uint64(len(k.ends)) - 1 }

// Frames implements router.LogBlock.
func (k *block) Frames(from, to uint64) []byte {
	start := 0
	if from > k.first {
		start = k.ends[from-k.first-1]
	}
	return k.frames[start:k.ends[to-k.first]]
}

// sizeOf is the size of some events as rules count it.
func (k *block) sizeOf(from, to uint64) int {
	before := 0
	if from > k.first {
		before = k.sizes[from-k.first-1]
	}
	return k.sizes[to-k.first] - before
}

// Origin implements router.LogBlock.
func (k *block) Origin(seq uint64) string {
	if k.origins == nil {
		return ""
	}
	return k.origins[seq-k.first]
}

func (k *block) has(from, to uint64) bool {
	first, last := k.Span()
	return first <= from && to <= last
}

func (k *block) timeOf(seq uint64) int64 { return k.times[seq-k.first] }

// size is about what the block costs, in bytes.
func (k *block) size() int64 { return int64(len(k.frames) + 24*len(k.ends) + 256) }

// blockID names a block. The epoch is that of the head under which it was read: a Redis
// that lost something gives numbers a second time.
type blockID struct {
	key, epoch string
	run        uint64
}

func runOf(seq uint64) uint64 { return (seq - 1) / run }

// blockCache keeps what was read last, up to so many bytes. Safe for concurrent use.
type blockCache struct {
	most int64 // immutable

	mu    sync.Mutex
	bytes int64
	by    map[blockID]*list.Element
	order *list.List // of *cached, the last used first
}

type cached struct {
	id    blockID
	block *block
}

func newBlockCache(most int64) *blockCache {
	return &blockCache{most: most, by: map[blockID]*list.Element{}, order: list.New()}
}

// get finds a block that has all of from to to.
func (c *blockCache) get(id blockID, from, to uint64) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[id]
	if e == nil {
		return nil
	}
	k := e.Value.(*cached).block //nolint:forcetypeassert // the list holds nothing else
	if !k.has(from, to) {
		return nil
	}
	c.order.MoveToFront(e)
	return k
}

func (c *blockCache) put(id blockID, k *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.by[id]; e != nil {
		c.dropLocked(e)
	}
	c.by[id] = c.order.PushFront(&cached{id, k})
	c.bytes += k.size()
	for c.bytes > c.most && c.order.Len() > 1 {
		c.dropLocked(c.order.Back())
	}
}

func (c *blockCache) dropLocked(e *list.Element) {
	old := c.order.Remove(e).(*cached) //nolint:forcetypeassert // the list holds nothing else
	delete(c.by, old.id)
	c.bytes -= old.block.size()
}

// putAll keeps consecutive events, cut at the borders of runs.
func (c *blockCache) putAll(key, epoch string, events []*message) {
	for len(events) > 0 {
		r := runOf(events[0].seq)
		n := slices.IndexFunc(events, func(m *message) bool { return runOf(m.seq) != r })
		if n < 0 {
			n = len(events)
		}
		c.put(blockID{key, epoch, r}, newBlock(events[:n]))
		events = events[n:]
	}
}
