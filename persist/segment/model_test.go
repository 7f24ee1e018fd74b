package segment

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Whatever happens to the store, what it tells is what was committed: for every
// start, Read gives exactly the events behind it.
func TestStoreAgainstAModel(t *testing.T) {
	events := sized(10_000, 1_000_000)
	channels := sized(12, 1000)
	d := newDesk(t, func(c *Config) { c.DiskBytes = 1 << 40 })
	rng := rand.New(rand.NewPCG(7, 7))
	heads := make([]uint64, channels) // the model: every channel's events are 1 … head
	name := func(c int) string { return fmt.Sprintf("app/%d", c) }
	for total := 0; total < events; {
		var b Batch
		touched := map[int]bool{}
		for range 1 + rng.IntN(sized(300, 8192)) {
			c := rng.IntN(channels)
			heads[c]++
			b.Records = append(b.Records, d.record(name(c), heads[c], Class(2+rng.IntN(20)/19)))
			touched[c] = true
			total++
		}
		for c := range touched {
			b.Heads = append(b.Heads, Head{Key: name(c), Epoch: "epoch000", Seq: heads[c], TimeMS: d.clock.MS()})
		}
		rng.Shuffle(len(b.Records), func(i, j int) { b.Records[i], b.Records[j] = b.Records[j], b.Records[i] })
		d.Put(&b)
		switch rng.IntN(12) {
		case 0:
			d.Put(&b) // repeated
		case 1:
			d.clock.Advance(time.Duration(rng.IntN(20)) * time.Minute)
		case 2:
			if _, err := d.Retain(d.clock.Now()); err != nil {
				t.Fatal(err)
			}
		case 3:
			if rng.IntN(4) == 0 {
				if rng.IntN(2) == 0 {
					d.Shut()
				} else {
					d.Crash()
				}
				d.Open()
			}
		}
	}
	for c, head := range heads {
		if head == 0 {
			continue
		}
		d.WantHead(name(c), head)
		step := uint64(1)
		if limit := uint64(sized(300, 20)); head > limit {
			step = head / limit
		}
		for s := uint64(0); s < head; s += step {
			wantDense(d, name(c), s, head)
		}
		wantDense(d, name(c), head-1, head)
		to := 1 + rng.Uint64N(head)
		wantDense(d, name(c), rng.Uint64N(to), to)
		for seq := uint64(1); seq <= head; {
			b, err := d.Block(name(c), seq, head)
			if err != nil || b.First != seq {
				t.Fatalf("block of %s at %d: %v", name(c), seq, err)
			}
			seq = b.Last + 1
		}
	}
	d.Shut()
	d.Check()
}

// wantDense reads (from, to] whole; the times of the records vary.
func wantDense(d *desk, key string, from, to uint64) {
	d.t.Helper()
	next := from + 1
	err := d.Read(key, from, to, 0, 0, func(r *Record) bool {
		if r.Seq != next || string(r.Payload) != string(payloadOf(key, next)) {
			d.t.Fatalf("%s (%d, %d]: seq %d %.60q, want %d", key, from, to, r.Seq, r.Payload, next)
		}
		next++
		return true
	})
	if err != nil || next != to+1 {
		d.t.Fatalf("%s (%d, %d]: ended before %d, %v", key, from, to, next, err)
	}
}

// Readers, blocks, heads and retention beside the writer.
func TestReadersBesideTheWriter(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.CacheBytes = 1 << 20 })
	const channels = 20
	var heads [channels]atomic.Uint64
	var stop atomic.Bool
	var wg sync.WaitGroup
	name := func(c int) string { return fmt.Sprintf("app/%d", c) }
	for r := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 1))
			for !stop.Load() {
				c := rng.IntN(channels)
				head := heads[c].Load()
				if head == 0 {
					continue
				}
				from := rng.Uint64N(head)
				if head > 500 {
					from = head - rng.Uint64N(500)
				}
				next := from + 1
				err := d.Read(name(c), from, head, 0, 0, func(r *Record) bool {
					if r.Seq != next || string(r.Payload) != string(payloadOf(name(c), next)) {
						t.Errorf("%s (%d, %d]: seq %d, want %d", name(c), from, head, r.Seq, next)
						return false
					}
					next++
					return true
				})
				if err != nil || next != head+1 {
					t.Errorf("%s (%d, %d]: ended before %d, %v", name(c), from, head, next, err)
				}
				if h, ok, err := d.Head(name(c)); err != nil || !ok || h.Seq < head {
					t.Errorf("head of %s: %+v %v %v, want at least %d", name(c), h, ok, err, head)
				}
				if b, err := d.Block(name(c), head, head); err != nil || !b.Has(head) {
					t.Errorf("block of %s at %d: %v", name(c), head, err)
				}
				d.Hot(name(c), head)
				d.Stats()
			}
		})
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for range sized(150, 2000) {
		var b Batch
		var next [channels]uint64
		for c := range channels {
			next[c] = heads[c].Load()
			for range rng.IntN(40) {
				next[c]++
				b.Records = append(b.Records, d.record(name(c), next[c], 0))
			}
			b.Heads = append(b.Heads, Head{Key: name(c), Epoch: "epoch000", Seq: next[c], TimeMS: d.clock.MS()})
		}
		d.Put(&b)
		for c := range channels {
			heads[c].Store(next[c])
		}
		// Fast enough that files rotate, slow enough that the last 500 events of a
		// channel are never old.
		d.clock.Advance(3 * time.Second)
		if _, err := d.Retain(d.clock.Now()); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
}
