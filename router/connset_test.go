package router

import (
	"math/rand/v2"
	"testing"
)

func TestConnSetAgainstAMap(t *testing.T) {
	var set connSet
	model := map[connRef]bool{}
	rng := rand.New(rand.NewPCG(5, 6))
	for step := range 50_000 {
		ref := connRef{slot: uint32(rng.IntN(60)), gen: 1 + uint32(rng.IntN(2)), loop: uint16(rng.IntN(3))}
		grow := rng.IntN(100) < 60
		if step%5000 > 3000 {
			grow = rng.IntN(100) < 20
		}
		if grow {
			if set.add(ref) == model[ref] {
				t.Fatalf("step %d: add(%v) with the set holding it: %v", step, ref, model[ref])
			}
			model[ref] = true
		} else {
			set.remove(ref)
			delete(model, ref)
		}
		if set.len() != len(model) {
			t.Fatalf("step %d: %d connections, want %d", step, set.len(), len(model))
		}
	}
	n := 0
	for loop, packed := range set.byLoop(3) {
		for _, arg := range packed {
			ref := unpackRef(arg)
			ref.loop = uint16(loop)
			if !model[ref] {
				t.Fatalf("%v is listed and is not in the set", ref)
			}
			n++
		}
	}
	if n != len(model) {
		t.Fatalf("%d connections are listed, want %d", n, len(model))
	}
}
