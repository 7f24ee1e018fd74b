package limit

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

const ms = int64(1e6)

// taken counts the tokens that can be taken at one moment.
func (b *Bucket) taken(now int64, perSecond, burst int) (n int) {
	for b.Take(now, perSecond, burst) {
		if n++; n > 10*burst {
			break
		}
	}
	return n
}

func TestBucketSize(t *testing.T) {
	if n := unsafe.Sizeof(Bucket(0)); n != 4 {
		t.Errorf("a bucket has %d bytes", n)
	}
}

func TestBucketBurstAndRefill(t *testing.T) {
	for _, c := range []struct {
		name             string
		perSecond, burst int
		start            int64
	}{
		{"client events", 10, 10, 0},
		{"frames", 100, 200, 5 * second},
		{"one a second", 1, 1, 1234 * ms},
		{"three a second", 3, 3, 777 * ms},
		{"seven a second", 7, 14, 999_999_999},
		{"a thousand", 1000, 2000, 3 * second},
		{"above a thousand", 1001, 2002, 3 * second},
		{"a hundred thousand", 100_000, 200_000, 86_400 * second},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Bucket
			if n := b.taken(c.start, c.perSecond, c.burst); n != c.burst {
				t.Fatalf("a new bucket gives %d tokens, want %d", n, c.burst)
			}
			t.Log("a refused token costs nothing")
			for range 100 {
				if b.Take(c.start, c.perSecond, c.burst) {
					t.Fatal("a token came from nowhere")
				}
			}
			t.Log("a second later, a second's tokens")
			if n := b.taken(c.start+second, c.perSecond, c.burst); n != min(c.perSecond, c.burst) {
				t.Errorf("%d tokens, want %d", n, min(c.perSecond, c.burst))
			}
			t.Log("a long rest fills it, no more")
			if n := b.taken(c.start+60*second, c.perSecond, c.burst); n != c.burst {
				t.Errorf("%d tokens, want %d", n, c.burst)
			}
		})
	}
}

// TestBucketWaitsItsTime: at an empty bucket the next token comes after its time,
// not at the next tick of the clock.
func TestBucketWaitsItsTime(t *testing.T) {
	for _, start := range []int64{0, 1, 99 * ms, 99_999_999, 12345 * ms} {
		var b Bucket
		b.taken(start, 10, 10)
		if b.Ready(start+90*ms, 10, 10) {
			t.Errorf("from %d: a token came back after 90 ms, its time is 100", start)
		}
		if !b.Ready(start+100*ms, 10, 10) {
			t.Errorf("from %d: no token came back after 100 ms", start)
		}
	}
}

// TestBucketLongRun: over a minute the rate is exact, whether it divides a second
// or not and however often it is asked.
func TestBucketLongRun(t *testing.T) {
	for _, perSecond := range []int{1, 3, 7, 10, 100, 333, 1000, 1500, 30_000} {
		var b Bucket
		rng := rand.New(rand.NewPCG(1, uint64(perSecond)))
		n := b.taken(0, perSecond, perSecond) // starts full
		for now := int64(0); now < 60*second; now += 1 + rng.Int64N(20*ms) {
			n += b.taken(now, perSecond, perSecond)
		}
		n += b.taken(60*second, perSecond, perSecond)
		if n != 61*perSecond {
			t.Errorf("%d a second: %d tokens in a minute, want %d", perSecond, n, 61*perSecond)
		}
	}
}

func TestBucketCharge(t *testing.T) {
	var b Bucket
	for range 20 {
		b.Charge(0, 10, 20)
	}
	if b.Ready(0, 10, 20) {
		t.Error("ready with nothing left")
	}
	b.Charge(0, 10, 20)
	if b.Ready(100*ms, 10, 20) {
		t.Error("ready with one token of debt")
	}
	if !b.Ready(200*ms, 10, 20) {
		t.Error("not ready when the debt is paid")
	}
	t.Log("debt is bounded to a burst")
	for range 10_000 {
		b.Charge(200*ms, 10, 20)
	}
	if b.Ready(2200*ms, 10, 20) || !b.Ready(2300*ms, 10, 20) {
		t.Error("a debt of 20 tokens at 10 a second is not paid after 2.1 s")
	}
	if !b.Take(2300*ms, 10, 20) || b.Take(2300*ms, 10, 20) {
		t.Error("the first token after the debt is not the only one")
	}
}

func TestBucketReadyTakesNothing(t *testing.T) {
	var b Bucket
	for range 100 {
		if !b.Ready(5*second, 10, 10) {
			t.Fatal("a new bucket is not ready")
		}
	}
	if n := b.taken(5*second, 10, 10); n != 10 {
		t.Errorf("%d tokens", n)
	}
}

// TestBucketRests: a bucket is full again after any rest, across the wraps of its
// clock.
func TestBucketRests(t *testing.T) {
	for _, c := range []struct{ perSecond, burst int }{{1, 1}, {10, 10}, {100, 200}, {1000, 2000}, {100_000, 200_000}} {
		refill := int64(c.burst) * second / int64(c.perSecond)
		for _, hours := range []int64{1, 24, 24 * 7, 24 * 30, 24 * 365, 24 * 365 * 10} {
			start := 17 * second
			var b Bucket
			b.taken(start, c.perSecond, c.burst)
			now := start + hours*3600*second + refill
			if n := b.taken(now, c.perSecond, c.burst); n != c.burst {
				t.Errorf("%d a second, burst %d: %d tokens after %d hours", c.perSecond, c.burst, n, hours)
			}
		}
	}
}

// TestBucketAtTheWrap: the clock's wrap changes nothing for a bucket in use.
func TestBucketAtTheWrap(t *testing.T) {
	const perSecond, burst = 100, 200
	wrap := (int64(1) << 32) * second / (perSecond * 16)
	start := wrap - second
	var b Bucket
	b.Charge(start-10*second, perSecond, burst)
	if n := b.taken(start, perSecond, burst); n != burst {
		t.Fatalf("%d tokens before the wrap", n)
	}
	total := 0
	for now := start; now <= start+10*second; now += 50 * ms {
		total += b.taken(now, perSecond, burst)
	}
	if total != 10*perSecond {
		t.Errorf("%d tokens in ten seconds around the wrap, want %d", total, 10*perSecond)
	}
}

// TestBucketMistakenRest: the one rest that is taken for use costs no more than the
// time to refill.
func TestBucketMistakenRest(t *testing.T) {
	const perSecond, burst = 100, 200
	wrap := (int64(1) << 32) * second / (perSecond * 16)
	var b Bucket
	b.taken(0, perSecond, burst)
	now := wrap // exactly one turn: looks as if no time had passed
	if b.Take(now, perSecond, burst) {
		t.Fatal("this rest is not the one that is meant")
	}
	if !b.Take(now+2*second, perSecond, burst) {
		t.Error("not full after the time to refill")
	}
}

// TestBucketRateChanges: a new rate or burst counts at once and locks nobody out.
func TestBucketRateChanges(t *testing.T) {
	var b Bucket
	b.taken(1000*second, 100, 200)
	for _, c := range []struct{ perSecond, burst int }{{10, 10}, {1000, 2000}, {1, 1}, {100, 200}} {
		limit := 1000*second + 2*int64(c.burst)*second/int64(c.perSecond)
		if !b.Ready(limit, c.perSecond, c.burst) {
			t.Errorf("at %d a second not ready after the time of two bursts", c.perSecond)
		}
	}
}

func TestBucketWithoutLimit(t *testing.T) {
	var b Bucket
	for range 1000 {
		b.Charge(0, 0, 10)
		if !b.Take(0, 0, 10) || !b.Ready(0, 0, 10) {
			t.Fatal("perSecond 0 is a limit")
		}
	}
}

func TestBucketBurstOfNone(t *testing.T) {
	var b Bucket
	if n := b.taken(0, 10, 0); n != 1 {
		t.Errorf("%d tokens, a bucket holds at least one", n)
	}
}

// FuzzBucket compares with a bucket of wide numbers, over rests that are shorter
// than a turn of the clock.
func FuzzBucket(f *testing.F) {
	f.Add(uint16(100), uint16(200), int64(0), []byte{1, 0, 0, 200, 3})
	f.Add(uint16(3), uint16(1), int64(86_400e9), []byte{0, 250, 251, 252, 7, 7, 7})
	f.Fuzz(func(t *testing.T, perSecond, burst uint16, start int64, steps []byte) {
		if perSecond == 0 || burst == 0 || start < 0 || start > 3600*second*24*365 || len(steps) > 200 {
			return
		}
		rate, size := int(perSecond), int(burst)
		_, token := ticks(0, rate)
		full := int64(0) // the same state in 64 bits
		var b Bucket
		now := start
		b.Charge(now, rate, size) // a first use: the zero value is a rest of unknown length
		clock := func() int64 { return now/second*int64(rate)*int64(token) + now%second*int64(rate)*int64(token)/second }
		full = clock() + int64(token)
		for _, s := range steps {
			now += int64(s&0x3f) * int64(s&0x3f) * ms
			free := max(full, clock())+int64(token)-clock() <= int64(token)*int64(size)
			if got := b.Ready(now, rate, size); got != free {
				t.Fatalf("at %d: ready %v, want %v", now, got, free)
			}
			if s&0x80 != 0 {
				b.Charge(now, rate, size)
				full = min(max(full, clock())+int64(token), clock()+2*int64(token)*int64(size))
			} else {
				if got := b.Take(now, rate, size); got != free {
					t.Fatalf("at %d: took %v, want %v", now, got, free)
				}
				if free {
					full = max(full, clock()) + int64(token)
				}
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	var b Bucket
	var r Rate
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += ms
		b.Take(now, 10, 20)
		b.Charge(now, 10, 20)
		b.Ready(now, 10, 20)
		r.Take(now, 10, 20)
		r.Charge(now, 10, 5)
	}); n > 0 {
		t.Errorf("buckets allocate %v times", n)
	}
}

func BenchmarkBucketTake(b *testing.B) {
	var bucket Bucket
	now := int64(0)
	for b.Loop() {
		now += ms
		bucket.Take(now, 100, 200)
	}
}
