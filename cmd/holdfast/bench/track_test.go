package bench

import (
	"math/rand/v2"
	"testing"
)

func TestTrack(t *testing.T) {
	type m = payload
	for name, c := range map[string]struct {
		floor   uint32
		in      []m
		want    []verdict
		upTo    uint32
		missing uint32
	}{
		"in order":                    {0, []m{{number: 1}, {number: 2, after: 1}}, []verdict{freshMessage, freshMessage}, 2, 0},
		"one lost":                    {0, []m{{number: 1}, {number: 3, after: 2}}, []verdict{freshMessage, freshMessage}, 3, 1},
		"the first lost":              {0, []m{{number: 2, after: 1}}, []verdict{freshMessage}, 2, 1},
		"the last lost":               {0, []m{{number: 1}}, []verdict{freshMessage}, 3, 2},
		"all lost":                    {0, nil, nil, 3, 3},
		"twice in a row":              {0, []m{{number: 1}, {number: 1}}, []verdict{freshMessage, duplicateMessage}, 1, 0},
		"twice later":                 {0, []m{{number: 1}, {number: 2}, {number: 1}}, []verdict{freshMessage, freshMessage, duplicateMessage}, 2, 0},
		"swapped by the server":       {0, []m{{number: 2, after: 1}, {number: 1}}, []verdict{freshMessage, disorderedMessage}, 2, 0},
		"published at the same time":  {0, []m{{number: 2, after: 0}, {number: 1}}, []verdict{freshMessage, overtakenMessage}, 2, 0},
		"overtaken, then twice":       {0, []m{{number: 2}, {number: 1}, {number: 1}}, []verdict{freshMessage, overtakenMessage, duplicateMessage}, 2, 0},
		"under way at the subscribe":  {5, []m{{number: 5}, {number: 6}, {number: 4}}, []verdict{earlyMessage, freshMessage, earlyMessage}, 6, 0},
		"subscribed late, lost":       {5, []m{{number: 7, after: 6}}, []verdict{freshMessage}, 7, 1},
		"far back stays missing":      {0, []m{{number: 100, after: 99}, {number: 1}}, []verdict{freshMessage, disorderedMessage}, 100, 99},
		"at the edge of the window":   {0, []m{{number: 65, after: 64}, {number: 1}, {number: 1}}, []verdict{freshMessage, disorderedMessage, duplicateMessage}, 65, 63},
		"a jump of the whole window":  {0, []m{{number: 1}, {number: 65}, {number: 1}}, []verdict{freshMessage, freshMessage, duplicateMessage}, 65, 63},
		"a jump beyond the window":    {0, []m{{number: 1}, {number: 66}, {number: 2}}, []verdict{freshMessage, freshMessage, overtakenMessage}, 66, 63},
		"what is asked for is behind": {0, []m{{number: 1}, {number: 2}}, []verdict{freshMessage, freshMessage}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var tr track
			if tr.missing(9) != 0 {
				t.Error("a subscription that is not there misses something")
			}
			tr.begin(c.floor)
			for i, one := range c.in {
				if got := tr.judge(one); got != c.want[i] {
					t.Errorf("reception %d: verdict %d, want %d", i, got, c.want[i])
				}
			}
			if got := tr.missing(c.upTo); got != c.missing {
				t.Errorf("missing %d, want %d", got, c.missing)
			}
		})
	}
}

// A stream with losses, repeats and swaps of near ones, against a set.
func TestTrackAgainstAModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var tr track
		floor := rng.Uint32N(1000)
		tr.begin(floor)
		seen := map[uint32]bool{}
		last := floor
		for range 500 {
			number := last + 1 + rng.Uint32N(3)
			if rng.IntN(3) == 0 {
				number = last - min(rng.Uint32N(60), last-floor)
			}
			if number <= floor {
				continue
			}
			v := tr.judge(payload{number: number, after: number - 1})
			if (v == duplicateMessage) != seen[number] {
				t.Fatalf("message %d of %d: verdict %d, seen %v", number, last, v, seen[number])
			}
			seen[number] = true
			last = max(last, number)
		}
		if got, want := tr.missing(last+2), last+2-floor-uint32(len(seen)); got != want {
			t.Fatalf("missing %d, want %d", got, want)
		}
	}
}

func TestTrackSeq(t *testing.T) {
	tr := track{seq: 41}
	for _, c := range []struct {
		seq        uint64
		gap, again bool
	}{{42, false, false}, {44, true, false}, {44, false, true}, {43, false, true}, {45, false, false}} {
		if gap, again := tr.nextSeq(c.seq); gap != c.gap || again != c.again {
			t.Errorf("seq %d: gap %v, again %v", c.seq, gap, again)
		}
	}
	if gap, again := new(track).nextSeq(7); gap || again {
		t.Error("the first one seen is compared with nothing")
	}
}
