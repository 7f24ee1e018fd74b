package wheel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

func newWheel(t testing.TB, slots int, now Tick) *Wheel {
	t.Helper()
	nodes, err := offheap.NewTable[Node](slots)
	if err != nil {
		t.Fatal(err)
	}
	return New(nodes, now)
}

func TestNodeIsSixteenBytes(t *testing.T) {
	if n := unsafe.Sizeof(Node{}); n != 16 {
		t.Fatalf("a node takes %d bytes, budget 16", n)
	}
}

func TestDeadlinesFireOnceAndInTime(t *testing.T) {
	w := newWheel(t, 100, 1000)
	var fired []uint32
	note := func(slot uint32) { fired = append(fired, slot) }

	w.Set(1, 1001)
	w.Set(2, 1005)
	w.Set(3, 1005+buckets) // same bucket as 2, one turn later
	w.Set(4, 900)          // already past
	w.Advance(1001, note)
	slices.Sort(fired)
	if !slices.Equal(fired, []uint32{1, 4}) {
		t.Fatalf("at 1001 fired %v", fired)
	}
	fired = nil
	w.Advance(1004, note)
	if fired != nil {
		t.Fatalf("at 1004 fired %v", fired)
	}
	w.Advance(1005, note)
	if !slices.Equal(fired, []uint32{2}) {
		t.Fatalf("at 1005 fired %v", fired)
	}
	w.Set(3, 1010)
	fired = nil
	w.Advance(1005+3*buckets, note) // a long pause
	if !slices.Equal(fired, []uint32{3}) || w.Len() != 0 {
		t.Fatalf("after the pause fired %v, %d entries left", fired, w.Len())
	}
}

func TestExpireMayTouchAnySlot(t *testing.T) {
	w := newWheel(t, 100, 0)
	for slot := uint32(1); slot <= 10; slot++ {
		w.Set(slot, 5)
	}
	count := 0
	w.Advance(5, func(slot uint32) {
		count++
		// Every first one cancels all others that are due at the same tick, and
		// takes a new deadline itself.
		for other := uint32(1); other <= 10; other++ {
			if other != slot {
				w.Cancel(other)
			}
		}
		w.Set(slot, 5)
	})
	if count != 1 || w.Len() != 1 {
		t.Fatalf("%d fired, %d left; want 1 and 1", count, w.Len())
	}
	w.Advance(6, func(uint32) { count++ })
	if count != 2 {
		t.Fatalf("the deadline set while firing did not fire at the next tick")
	}
}

func TestAgainstAModel(t *testing.T) {
	w := newWheel(t, 501, 0)
	rng := rand.New(rand.NewPCG(3, 4))
	model := map[uint32]Tick{}
	now := Tick(0)
	for range 20_000 {
		slot := uint32(1 + rng.IntN(500))
		switch rng.IntN(10) {
		case 0, 1, 2, 3, 4:
			due := now + Tick(rng.IntN(700))
			w.Set(slot, due)
			model[slot] = max(due, now+1)
		case 5, 6:
			w.Cancel(slot)
			delete(model, slot)
		default:
			now += Tick(rng.IntN(8))
			w.Advance(now, func(slot uint32) {
				due, ok := model[slot]
				if !ok || due > now {
					t.Fatalf("slot %d fired at %d, due %d (known %v)", slot, now, due, ok)
				}
				delete(model, slot)
			})
			for slot, due := range model {
				if due <= now {
					t.Fatalf("slot %d due %d did not fire by %d", slot, due, now)
				}
			}
		}
		if w.Len() != len(model) {
			t.Fatalf("Len = %d, model %d", w.Len(), len(model))
		}
	}
}

func BenchmarkSet(b *testing.B) {
	w := newWheel(b, 1<<16, 0)
	for i := range b.N {
		w.Set(uint32(i&0xffff)|1, Tick(120+i&7))
	}
}
