package router

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMemberArraysAgainstSlices(t *testing.T) {
	const most = 20_000
	a, err := newMemberArrays(most)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	arrays := make([]localChannel, 40)
	models := make([][]uint32, len(arrays))
	total := 0
	for step := range 300_000 {
		i := rng.IntN(len(arrays))
		if i > 2 {
			i = 3 + i%3*rng.IntN(12) // some arrays become large, most stay small
		}
		grow := rng.IntN(100) < 55
		if step%60_000 > 40_000 {
			grow = rng.IntN(100) < 30
		}
		l := &arrays[i]
		if grow && total < most {
			slot := rng.Uint32()
			if at := a.push(l, slot); int(at) != len(models[i]) {
				t.Fatalf("push returned %d, want %d", at, len(models[i]))
			}
			models[i] = append(models[i], slot)
			total++
		} else if l.count > 0 {
			at := rng.IntN(len(models[i]))
			last := len(models[i]) - 1
			*a.at(l, uint32(at)) = *a.at(l, uint32(last))
			a.pop(l)
			models[i][at] = models[i][last]
			models[i] = models[i][:last]
			total--
		}
		if step%97 == 0 || l.count < 10 {
			compareMembers(t, a, l, models[i])
		}
	}
	for i := range arrays {
		compareMembers(t, a, &arrays[i], models[i])
		for arrays[i].count > 0 {
			a.pop(&arrays[i])
		}
	}
	if a.small.Live()+a.medium.Live()+a.large.Live() != 0 || len(a.free) != len(a.lists)-1 {
		t.Fatalf("blocks are left: %d small, %d medium, %d large, %d of %d lists free",
			a.small.Live(), a.medium.Live(), a.large.Live(), len(a.free), len(a.lists)-1)
	}
}

func compareMembers(t *testing.T, a *memberArrays, l *localChannel, want []uint32) {
	t.Helper()
	var got []uint32
	for i := uint32(0); i < l.count; {
		span := a.span(l, i)
		got = append(got, span...)
		i += uint32(len(span))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("class %d: %d members, want %d, or not the same", l.class, len(got), len(want))
	}
}

func TestALargeArrayIsReached(t *testing.T) {
	a, err := newMemberArrays(10_000)
	if err != nil {
		t.Fatal(err)
	}
	var l localChannel
	for i := range uint32(5000) {
		a.push(&l, i)
	}
	if l.class != classLarge || a.large.Live() != 5 {
		t.Fatalf("5,000 members: class %d, %d blocks", l.class, a.large.Live())
	}
	for l.count > 1 {
		a.pop(&l)
	}
	if l.class != classOne || *a.at(&l, 0) != 0 {
		t.Fatalf("one member is left: class %d, slot %d", l.class, *a.at(&l, 0))
	}
}
