package offheap

import (
	"math/rand/v2"
	"testing"
)

type record struct {
	a, b uint32
	c    uint64
}

func TestTableReadsZeroUntilWritten(t *testing.T) {
	tab, err := NewTable[record](1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if got := *tab.At(1<<20 - 1); got != (record{}) {
		t.Fatalf("untouched record = %+v", got)
	}
	tab.At(70000).c = 7
	if got := tab.At(70000).c; got != 7 {
		t.Fatalf("record lost its value: %d", got)
	}
	tab.Discard(0, 1<<20)
	if got := tab.At(70000).c; got != 0 {
		t.Fatalf("record after Discard = %d, want 0", got)
	}
}

func TestPoolAgainstAModel(t *testing.T) {
	pool, err := NewPool[record](5000)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[uint32]uint64{}
	for step := range 200_000 {
		// Phases of growth and of shrinking, so that the pool empties often.
		grow := rng.IntN(100) < 70
		if step%20_000 > 10_000 {
			grow = rng.IntN(100) < 30
		}
		if grow {
			i, r := pool.Alloc()
			if i == 0 {
				if len(model) != 5000 {
					t.Fatalf("pool is full with %d of 5000 out", len(model))
				}
				continue
			}
			if _, out := model[i]; out {
				t.Fatalf("record %d was handed out twice", i)
			}
			if *r != (record{}) {
				t.Fatalf("record %d is not zeroed: %+v", i, *r)
			}
			r.a, r.b, r.c = i, i, rng.Uint64()
			model[i] = r.c
			continue
		}
		for i, want := range model {
			if got := pool.At(i).c; got != want {
				t.Fatalf("record %d = %d, want %d", i, got, want)
			}
			pool.Free(i)
			delete(model, i)
			break
		}
		if pool.Live() != len(model) {
			t.Fatalf("Live = %d, model has %d", pool.Live(), len(model))
		}
	}
}

func TestPointersAreRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a record with a Go pointer was accepted")
		}
	}()
	_, _ = NewTable[struct{ p *int }](1)
}
