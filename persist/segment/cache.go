package segment

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// group is the blocks of one group of a channel, ascending. Immutable.
type group struct {
	key        string
	number     uint64
	generation uint64
	blocks     []*Block
	memory     int64
}

func (g *group) block(seq uint64) *Block {
	for _, b := range g.blocks {
		if b.Has(seq) {
			return b
		}
	}
	return nil
}

// blockCache keeps groups that will never change: those whose last event is on
// disk. ristretto decides what stays; it may refuse any entry and takes one a
// moment after it is told, so the groups that were loaded last are also in a small
// table beside it, and 10,000 readers of one group cause one read.
type blockCache struct {
	// Immutable after newBlockCache.
	seed   uint64
	max    int64
	shared *ristretto.Cache[uint64, *group]
	recent []atomic.Pointer[group] // by hash

	// alive is held for reading while ristretto is used, and taken for ever by close:
	// ristretto's channels must not be closed under a user.
	alive sync.RWMutex

	generation atomic.Uint64 // entries of another generation are not served
	memory     atomic.Int64  // of groups in ristretto

	mu      sync.Mutex
	flights map[flightKey]*flight

	hits, loads, waits atomic.Uint64
}

type flightKey struct {
	key string
	end uint64 // last seq that may be read
}

// flight is a load under way. group and err are set before done is closed.
type flight struct {
	done  chan struct{}
	group *group
	err   error
}

const (
	maxRecent      = 64
	maxRecentBytes = 128 << 10 // a group above it has no place in the table
	maxCounters    = 1 << 26
)

func newBlockCache(maxBytes int64, seed uint64) (*blockCache, error) {
	// The table takes at most an eighth.
	slots := min(max(maxBytes/8/maxRecentBytes, 1), maxRecent)
	c := &blockCache{
		seed: seed, max: maxBytes,
		recent:  make([]atomic.Pointer[group], slots),
		flights: map[flightKey]*flight{},
	}
	var err error
	c.shared, err = ristretto.NewCache(&ristretto.Config[uint64, *group]{
		// Ten counters for each group that fits, as ristretto advises; a group of short
		// events takes about 4 KiB.
		NumCounters: min(max(maxBytes/4096*10, 1024), maxCounters),
		MaxCost:     max(maxBytes-slots*maxRecentBytes, maxBytes/2),
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

func (c *blockCache) hash(key string, number, generation uint64) uint64 {
	return fold(hashKey(c.seed, key)^number, generation<<1|1)
}

// get touches memory only and never waits.
func (c *blockCache) get(key string, number uint64) *group {
	generation := c.generation.Load()
	h := c.hash(key, number, generation)
	if g := c.slot(h).Load(); g.is(key, number, generation) {
		return g
	}
	if !c.alive.TryRLock() {
		return nil
	}
	defer c.alive.RUnlock()
	if g, ok := c.shared.Get(h); ok && g.is(key, number, generation) {
		return g
	}
	return nil
}

// is verifies that g is what was asked for: a hash is not a name.
func (g *group) is(key string, number, generation uint64) bool {
	return g != nil && g.number == number && g.generation == generation && g.key == key
}

func (c *blockCache) slot(h uint64) *atomic.Pointer[group] {
	return &c.recent[home(h, len(c.recent))]
}

// put takes a complete group.
func (c *blockCache) put(g *group) {
	if g.generation != c.generation.Load() || !c.alive.TryRLock() {
		return
	}
	defer c.alive.RUnlock()
	h := c.hash(g.key, g.number, g.generation)
	if g.memory <= maxRecentBytes {
		c.slot(h).Store(g)
	}
	c.memory.Add(g.memory)
	if !c.shared.Set(h, g, g.memory) {
		c.memory.Add(-g.memory)
	}
}

// load runs read once for all who ask at the same time for the same. own: it was
// the caller's read. A complete group is cached.
func (c *blockCache) load(id flightKey, read func() (*group, bool, error)) (g *group, own bool, err error) {
	c.mu.Lock()
	if f := c.flights[id]; f != nil {
		c.mu.Unlock()
		c.waits.Add(1)
		<-f.done
		return f.group, false, f.err
	}
	// A load may have ended since the caller looked.
	if g := c.get(id.key, groupOf(id.end)); g != nil && id.end%GroupEvents == 0 {
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
	var complete bool
	f.group, complete, f.err = read()
	if complete {
		f.group.generation = generation
		c.put(f.group)
	}
	return f.group, true, f.err
}

// forget makes everything that is cached, or being loaded, unreachable. Its memory
// is given back as new groups come.
func (c *blockCache) forget() {
	c.generation.Add(1)
	for i := range c.recent {
		c.recent[i].Store(nil)
	}
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

// Hot returns the block that holds the event if it is in memory, or nil. It never
// waits and may be called from an event loop.
func (s *Store) Hot(key string, seq uint64) *Block {
	if seq == 0 {
		return nil
	}
	g := s.cache.get(key, groupOf(seq))
	if g == nil {
		return nil
	}
	return g.block(seq)
}

// Block returns the block that holds the event, from memory or from disk: a run
// without a hole, of events up to to, which the caller knows to be committed. A
// group is read once for all who ask at the same time, and cached when its last
// event is on disk and not beyond to. ErrGone: the event is not on disk.
func (s *Store) Block(key string, seq, to uint64) (*Block, error) {
	if seq == 0 || seq > to || to > MaxSeq {
		return nil, ErrGone
	}
	last := (groupOf(seq) + 1) * GroupEvents
	if to >= last {
		if b := s.Hot(key, seq); b != nil {
			s.cache.hits.Add(1)
			return b, nil
		}
	}
	id := flightKey{key, min(last, to)}
	for again := false; ; again = true {
		g, own, err := s.cache.load(id, func() (*group, bool, error) { return s.readGroup(id) })
		if err == nil {
			if b := g.block(seq); b != nil {
				return b, nil
			}
			err = ErrGone
		}
		// Somebody else's read may have begun before the event was on disk. The one
		// that follows it began after this call.
		if own || again {
			return nil, err
		}
	}
}

// readGroup reads a group up to id.end and tells whether it is complete: it has the
// group's last event and no hole. The old end may be missing: retention took it,
// and nothing will bring it back.
func (s *Store) readGroup(id flightKey) (*group, bool, error) {
	g := &group{key: id.key, number: groupOf(id.end), memory: 128}
	var bb blockBuilder
	cut := func() {
		b := bb.cut(id.key)
		g.blocks = append(g.blocks, b)
		g.memory += b.memory()
	}
	dense, last := true, uint64(0)
	err := s.Read(id.key, g.number*GroupEvents, id.end, 0, 0, func(r *Record) bool {
		if !bb.fits(r) {
			cut()
		}
		dense = dense && (last == 0 || r.Seq == last+1)
		last = r.Seq
		bb.add(r)
		return true
	})
	if err != nil {
		return nil, false, err
	}
	if last == 0 {
		return nil, false, ErrGone
	}
	cut()
	return g, dense && last%GroupEvents == 0, nil
}

// Offer puts a block that the caller made into the cache, if it is a whole group:
// the events of a channel that is being read need not be read back from disk.
func (s *Store) Offer(b *Block) {
	if b.Len() != GroupEvents || b.First%GroupEvents != 1 {
		return
	}
	s.cache.put(&group{
		key: b.Key, number: groupOf(b.First), generation: s.cache.generation.Load(),
		blocks: []*Block{b}, memory: b.memory() + 128,
	})
}

// ForgetBlocks empties the cache: its blocks belong to a life of the log that is over.
func (s *Store) ForgetBlocks() { s.cache.forget() }
