package segment

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// group is the blocks of one group of a channel, ascending, as far as its events
// are on disk. Immutable.
type group struct {
	groupID
	generation uint64
	blocks     []*Block
	memory     int64
}

// groupID names a group by its last event that counts: the last of the group, or
// the one up to which the reader knew everything to be committed. All events up to
// it are final, so whatever was read under a groupID stays right.
type groupID struct {
	key string
	end uint64
}

func groupEnd(seq uint64) uint64 { return (groupOf(seq) + 1) * GroupEvents }

// whole tells whether the group can get no more events.
func (id groupID) whole() bool { return id.end%GroupEvents == 0 }

func (g *group) block(seq uint64) *Block {
	for _, b := range g.blocks {
		if b.Has(seq) {
			return b
		}
	}
	return nil
}

// blockCache keeps groups. ristretto decides which whole groups stay for long. It
// takes one a moment after it is told and may refuse any, so the groups that were
// read last, tails included, are also in a queue beside it: readers who come
// together cause one read, even if each comes when the one before has left.
type blockCache struct {
	// Immutable after newBlockCache.
	seed   uint64
	max    int64
	shared *ristretto.Cache[uint64, *group]

	// alive is held for reading while ristretto is used, and taken for ever by close:
	// ristretto's channels must not be closed under a user.
	alive sync.RWMutex

	generation atomic.Uint64 // entries of another generation are not served
	memory     atomic.Int64  // of groups in ristretto

	recent recentGroups

	mu      sync.Mutex
	flights map[groupID]*flight

	hits, loads, waits atomic.Uint64
}

// flight is a read under way. group and err are set before done is closed.
type flight struct {
	done  chan struct{}
	group *group
	err   error
}

const maxCounters = 1 << 26

func newBlockCache(maxBytes int64, seed uint64) (*blockCache, error) {
	c := &blockCache{seed: seed, max: maxBytes, flights: map[groupID]*flight{}}
	c.recent.max = maxBytes / 8
	c.recent.groups = map[uint64]*group{}
	var err error
	c.shared, err = ristretto.NewCache(&ristretto.Config[uint64, *group]{
		// Ten counters for each group that fits, as ristretto advises; a group of short
		// events takes about 4 KiB.
		NumCounters: min(max(maxBytes/4096*10, 1024), maxCounters),
		MaxCost:     maxBytes - c.recent.max,
		BufferItems: 64,
		OnExit: func(g *group) {
			if g != nil {
				c.memory.Add(-g.memory)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("segment: block cache: %w", err)
	}
	return c, nil
}

func (c *blockCache) hash(id groupID, generation uint64) uint64 {
	return fold(hashKey(c.seed, id.key)^id.end, generation<<1|1)
}

// get touches memory only. It waits for nothing but an assignment to a map.
func (c *blockCache) get(id groupID) *group {
	generation := c.generation.Load()
	h := c.hash(id, generation)
	if g := c.recent.get(h); g.is(id, generation) {
		return g
	}
	if !id.whole() || !c.alive.TryRLock() {
		return nil
	}
	defer c.alive.RUnlock()
	if g, ok := c.shared.Get(h); ok && g.is(id, generation) {
		return g
	}
	return nil
}

// is verifies that g is what was asked for: a hash is not a name.
func (g *group) is(id groupID, generation uint64) bool {
	return g != nil && g.groupID == id && g.generation == generation
}

func (c *blockCache) put(g *group) {
	if g.generation != c.generation.Load() || !c.alive.TryRLock() {
		return
	}
	defer c.alive.RUnlock()
	h := c.hash(g.groupID, g.generation)
	c.recent.put(h, g)
	if !g.whole() {
		return
	}
	c.memory.Add(g.memory)
	if !c.shared.Set(h, g, g.memory) {
		c.memory.Add(-g.memory)
	}
}

// load runs read once for all who ask at the same time for the same. own: it was
// the caller's read.
func (c *blockCache) load(id groupID, read func() (*group, error)) (g *group, own bool, err error) {
	c.mu.Lock()
	if f := c.flights[id]; f != nil {
		c.mu.Unlock()
		c.waits.Add(1)
		<-f.done
		return f.group, false, f.err
	}
	// A read may have ended since the caller looked.
	if g := c.get(id); g != nil {
		c.mu.Unlock()
		c.hits.Add(1)
		return g, false, nil
	}
	f := &flight{done: make(chan struct{}), err: ErrClosed}
	c.flights[id] = f
	c.mu.Unlock()
	// Also when read panics: nobody may wait for ever.
	defer func() {
		c.mu.Lock()
		delete(c.flights, id)
		c.mu.Unlock()
		close(f.done)
	}()
	c.loads.Add(1)
	generation := c.generation.Load()
	if f.group, f.err = read(); f.err == nil {
		f.group.generation = generation
		c.put(f.group)
	}
	return f.group, true, f.err
}

// forget makes everything that is cached, or being read, unreachable. Its memory is
// given back as new groups come.
func (c *blockCache) forget() {
	c.generation.Add(1)
	c.recent.clear()
}

func (c *blockCache) close() {
	c.alive.Lock() // for ever: who comes later finds nothing
	c.shared.Close()
	c.forget()
}

func (c *blockCache) stats(st *Stats) {
	st.BlockHits, st.BlockLoads, st.BlockWaits = c.hits.Load(), c.loads.Load(), c.waits.Load()
	st.CacheBytes, st.CacheMaxBytes = c.memory.Load(), c.max
}

// recentGroups is a queue of the groups that were read last, bounded in bytes, but
// for one group that may be larger. A group may be here and in ristretto; its bytes
// are there once.
type recentGroups struct {
	max int64

	mu     sync.RWMutex
	groups map[uint64]*group // by hash
	queue  []uint64          // hashes, oldest first
	memory int64
}

func (r *recentGroups) get(h uint64) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.groups[h]
}

func (r *recentGroups) put(h uint64, g *group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if former := r.groups[h]; former != nil {
		r.memory += g.memory - former.memory // it keeps its place
	} else {
		r.queue = append(r.queue, h)
		r.memory += g.memory
	}
	r.groups[h] = g
	for r.memory > r.max && len(r.queue) > 1 {
		oldest := r.queue[0]
		r.queue = r.queue[1:]
		r.memory -= r.groups[oldest].memory
		delete(r.groups, oldest)
	}
}

func (r *recentGroups) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.groups)
	r.queue, r.memory = nil, 0
}

// Hot returns the block that holds the event if its whole group is in memory, or
// nil. It reads no disk and may be called from an event loop.
func (s *Store) Hot(key string, seq uint64) *Block {
	if seq == 0 {
		return nil
	}
	g := s.cache.get(groupID{key, groupEnd(seq)})
	if g == nil {
		return nil
	}
	return g.block(seq)
}

// Block returns the block that holds the event, from memory or from disk: a run
// without a hole, of events up to to, which the caller knows to be committed. A
// group is read once for all who ask for the same, and cached. ErrGone: the event is
// not on disk.
func (s *Store) Block(key string, seq, to uint64) (*Block, error) {
	if seq == 0 || seq > to || to > MaxSeq {
		return nil, ErrGone
	}
	id := groupID{key, min(groupEnd(seq), to)}
	if g := s.cache.get(id); g != nil {
		s.cache.hits.Add(1)
		return g.blockOrGone(seq)
	}
	g, own, err := s.cache.load(id, func() (*group, error) { return s.readGroup(id) })
	if err != nil && !own {
		// Somebody else's read may have begun before the event was on disk. The one
		// that follows it began after this call.
		g, _, err = s.cache.load(id, func() (*group, error) { return s.readGroup(id) })
	}
	if err != nil {
		return nil, err
	}
	return g.blockOrGone(seq)
}

func (g *group) blockOrGone(seq uint64) (*Block, error) {
	if b := g.block(seq); b != nil {
		return b, nil
	}
	return nil, ErrGone
}

// readGroup reads a group up to id.end.
func (s *Store) readGroup(id groupID) (*group, error) {
	g := &group{groupID: id, memory: 128}
	bb := builders.Get().(*blockBuilder)
	defer builders.Put(bb)
	bb.reset()
	cut := func() {
		b := bb.cut(id.key)
		g.blocks = append(g.blocks, b)
		g.memory += b.memory()
	}
	err := s.Read(id.key, groupOf(id.end)*GroupEvents, id.end, 0, 0, func(r *Record) bool {
		if !bb.fits(r) {
			cut()
		}
		bb.add(r)
		return true
	})
	if err != nil {
		return nil, err
	}
	if bb.next == 0 {
		return nil, ErrGone
	}
	cut()
	return g, nil
}

// Offer puts a block that the caller made into the cache, if it is a whole group:
// the events of a channel that is being read need not be read back from disk.
func (s *Store) Offer(b *Block) {
	if b.Len() != GroupEvents || b.Last%GroupEvents != 0 {
		return
	}
	s.cache.put(&group{
		groupID: groupID{b.Key, b.Last}, generation: s.cache.generation.Load(),
		blocks: []*Block{b}, memory: b.memory() + 128,
	})
}

// ForgetBlocks empties the cache: its blocks belong to a life of the log that is over.
func (s *Store) ForgetBlocks() { s.cache.forget() }
