package segment

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// hashKey is a keyed 64-bit hash whose value may be written to disk, which
// hash/maphash does not allow. The seed is random for each run, so that nobody who
// chooses channel names can choose collisions. The construction is wyhash's: 128-bit
// products folded, eight bytes a round.
func hashKey(seed uint64, key string) uint64 {
	const k0, k1 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h := seed ^ k0
	n := len(key)
	for len(key) >= 8 {
		word := uint64(key[0]) | uint64(key[1])<<8 | uint64(key[2])<<16 | uint64(key[3])<<24 |
			uint64(key[4])<<32 | uint64(key[5])<<40 | uint64(key[6])<<48 | uint64(key[7])<<56
		h = fold(h^word, k1)
		key = key[8:]
	}
	var tail [8]byte
	copy(tail[:], key)
	h = fold(h^binary.LittleEndian.Uint64(tail[:]), k1)
	return fold(h^uint64(n), seed|1)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashSet is a set of 64-bit hashes, 10 to 13 bytes each. One goroutine changes
// it; any goroutine asks, without a lock: it sees the set as it was before or
// after a change that is under way.
//
// Two keys of one hash are one member: removing one removes both. Among a million
// keys such a pair exists with a probability of 3 in 100 million.
type hashSet struct {
	table atomic.Pointer[[]atomic.Uint64] // slots: slotFree, slotGone or a hash; nil = empty

	// Owned by the goroutine that changes the set.
	taken int // slots that are not free

	live atomic.Int64
}

const (
	slotFree = 0
	slotGone = 1
)

// slotValue keeps hashes apart from the two marks.
func slotValue(h uint64) uint64 {
	if h <= slotGone {
		return h + 2
	}
	return h
}

func home(h uint64, slots int) int {
	hi, _ := bits.Mul64(h, uint64(slots))
	return int(hi)
}

func (s *hashSet) has(h uint64) bool {
	table := s.table.Load()
	if table == nil {
		return false
	}
	return find(*table, slotValue(h)) >= 0
}

// find returns the slot of h, or -1. There is always a free slot.
func find(slots []atomic.Uint64, h uint64) int {
	for i := home(h, len(slots)); ; i++ {
		if i == len(slots) {
			i = 0
		}
		switch slots[i].Load() {
		case h:
			return i
		case slotFree:
			return -1
		}
	}
}

// add returns whether h is new.
func (s *hashSet) add(h uint64) bool {
	h = slotValue(h)
	table := s.table.Load()
	if table != nil && find(*table, h) >= 0 {
		return false
	}
	if table == nil || (s.taken+1)*5 > len(*table)*4 {
		table = s.grow()
	}
	if place(*table, h) {
		s.taken++
	}
	s.live.Add(1)
	return true
}

// place puts h, which is not there, into the first free slot from its home. A slot
// that is gone is not used again, so that a search under way stays correct.
func place(slots []atomic.Uint64, h uint64) bool {
	for i := home(h, len(slots)); ; i++ {
		if i == len(slots) {
			i = 0
		}
		if slots[i].Load() == slotFree {
			slots[i].Store(h)
			return true
		}
	}
}

// grow moves what is live into a table that is five eighths full.
func (s *hashSet) grow() *[]atomic.Uint64 {
	size := max(64, int(s.live.Load()+1)*8/5)
	slots := make([]atomic.Uint64, size)
	s.each(func(h uint64) { place(slots, h) })
	s.taken = int(s.live.Load())
	s.table.Store(&slots)
	return &slots
}

func (s *hashSet) remove(h uint64) {
	table := s.table.Load()
	if table == nil {
		return
	}
	if i := find(*table, slotValue(h)); i >= 0 {
		(*table)[i].Store(slotGone)
		s.live.Add(-1)
	}
}

// each calls f for every member.
func (s *hashSet) each(f func(h uint64)) {
	table := s.table.Load()
	if table == nil {
		return
	}
	for i := range *table {
		if h := (*table)[i].Load(); h > slotGone {
			f(h)
		}
	}
}

func (s *hashSet) len() int { return int(s.live.Load()) }

// clear empties the set. Searches under way see it full or empty.
func (s *hashSet) clear() {
	s.table.Store(nil)
	s.taken = 0
	s.live.Store(0)
}

// bloom is a Bloom filter over hashes, immutable once it is shared: ten bits a
// member, seven probes, about 1 % false answers "maybe".
type bloom struct {
	words []uint64
}

const (
	bloomBits   = 10
	bloomProbes = 7
)

func newBloom(members int) *bloom {
	return &bloom{words: make([]uint64, (max(members, 1)*bloomBits+63)/64)}
}

// nextProbe turns the hash of one probe into that of the next.
func nextProbe(h uint64) uint64 { return fold(h^0xa0761d6478bd642f, 0xe7037ed1a0b428db) }

func (b *bloom) add(h uint64) {
	for range bloomProbes {
		at := home(h, len(b.words)*64)
		b.words[at/64] |= 1 << (at % 64)
		h = nextProbe(h)
	}
}

func (b *bloom) may(h uint64) bool {
	for range bloomProbes {
		at := home(h, len(b.words)*64)
		if b.words[at/64]&(1<<(at%64)) == 0 {
			return false
		}
		h = nextProbe(h)
	}
	return true
}
