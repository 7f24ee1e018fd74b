package segment

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestHashSetAgainstAModel(t *testing.T) {
	var s hashSet
	model := map[uint64]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	value := func() uint64 { return rng.Uint64N(3000) } // 0 and 1 are the marks of a slot
	for step := range sized(50_000, 1_000_000) {
		h := value()
		if grow := step%10_000 < 5_000; rng.IntN(100) < 50 == grow {
			if got := s.add(h); got == model[h] {
				t.Fatalf("step %d: add(%d) says new = %v", step, h, got)
			}
			model[h] = true
		} else if rng.IntN(3) == 0 {
			s.remove(h)
			delete(model, h)
		}
		probe := value()
		// 0 and 1 share their places with 2 and 3: an answer "yes" may be wrong.
		if got := s.has(probe); got != model[probe] && (probe > 3 || !got) {
			t.Fatalf("step %d: has(%d) = %v", step, probe, got)
		}
		if h <= 3 { // keep the model free of the shared places
			s.remove(h)
			delete(model, h)
		}
	}
	n := 0
	s.each(func(h uint64) {
		if !model[h] {
			t.Errorf("each gave %d", h)
		}
		n++
	})
	if n != len(model) || s.len() != n {
		t.Errorf("%d members, len %d, model %d", n, s.len(), len(model))
	}
}

func TestHashSetMemory(t *testing.T) {
	var s hashSet
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= sized(100_000, 2_000_000); n++ {
		s.add(rng.Uint64())
		if n >= 1000 && n%997 == 0 {
			if perHead := float64(len(*s.table.Load())*8) / float64(n); perHead > 16 {
				t.Fatalf("%.1f bytes a member at %d", perHead, n)
			}
		}
	}
}

// A reader never misses a member that stays, whatever the writer does meanwhile.
func TestHashSetIsReadWithoutALock(t *testing.T) {
	var s hashSet
	const stays = 1000
	for i := range uint64(stays) {
		s.add(fold(i+10, 0xe7037ed1a0b428db))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				if !s.has(fold(i%stays+10, 0xe7037ed1a0b428db)) {
					t.Error("a member is missing")
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range sized(20, 200) {
		var extra []uint64
		for range 5000 {
			h := rng.Uint64()
			s.add(h)
			extra = append(extra, h)
		}
		for _, h := range extra {
			s.remove(h)
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestBloomDeniesNoMember(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1000, sized(20_000, 1_000_000)} {
		b := newBloom(n)
		for i := range n {
			b.add(hashKey(7, fmt.Sprint("member ", i)))
		}
		for i := range n {
			if !b.may(hashKey(7, fmt.Sprint("member ", i))) {
				t.Fatalf("%d members: %d is denied", n, i)
			}
		}
		wrong := 0
		for i := range 10_000 {
			if b.may(hashKey(7, fmt.Sprint("stranger ", i))) {
				wrong++
			}
		}
		if wrong > 200 {
			t.Errorf("%d members: %d of 10,000 strangers may be members, want about 100", n, wrong)
		}
	}
}

func TestHashKeySpreads(t *testing.T) {
	t.Log("every bit of the hash depends on every bit of key and seed")
	for length := range 40 {
		key := make([]byte, length)
		base := hashKey(1, string(key))
		for bit := range length * 8 {
			key[bit/8] ^= 1 << (bit % 8)
			if hashKey(1, string(key)) == base {
				t.Fatalf("bit %d of %d bytes does not matter", bit, length)
			}
			key[bit/8] ^= 1 << (bit % 8)
		}
		if hashKey(2, string(key)) == base {
			t.Fatalf("the seed does not matter for %d bytes", length)
		}
	}
	var counts [64]int
	for i := range 100_000 {
		h := hashKey(3, fmt.Sprintf("app-id/private-orders.%d", i))
		for bit := range counts {
			counts[bit] += int(h >> bit & 1)
		}
	}
	for bit, n := range counts {
		if n < 49_000 || n > 51_000 {
			t.Errorf("bit %d is set in %d of 100,000 hashes", bit, n)
		}
	}
}
