package limit

import (
	"sync"
	"sync/atomic"
	"testing"
)

func (r *Rate) taken(now int64, perSecond, burst int) (n int) {
	for r.Take(now, perSecond, burst) {
		if n++; n > 10*burst {
			break
		}
	}
	return n
}

func TestRate(t *testing.T) {
	var r Rate
	if n := r.taken(0, 10, 10); n != 10 {
		t.Fatalf("a new rate gives %d tokens", n)
	}
	if n := r.taken(100*ms, 10, 10); n != 1 {
		t.Errorf("%d tokens after 100 ms", n)
	}
	if n := r.taken(1100*ms, 10, 10); n != 10 {
		t.Errorf("%d tokens after a second", n)
	}
	if n := r.taken(3600*second, 10, 10); n != 10 {
		t.Errorf("%d tokens after an hour", n)
	}
}

func TestRateCharge(t *testing.T) {
	var r Rate
	r.Charge(0, 10, 25)
	if r.Take(1500*ms, 10, 10) {
		t.Error("a token while there is debt")
	}
	if !r.Take(1600*ms, 10, 10) {
		t.Error("no token when the debt is paid")
	}
	r.Charge(10*second, 10, 0)
	r.Charge(10*second, 10, -5)
	if n := r.taken(10*second, 10, 10); n != 10 {
		t.Errorf("%d tokens after charges of nothing", n)
	}
	r.Charge(10*second, 10, -5)
	if r.Take(10*second, 10, 10) {
		t.Error("a charge of less than nothing gave tokens")
	}
}

func TestRateWithoutLimit(t *testing.T) {
	var r Rate
	for range 1000 {
		r.Charge(0, 0, 100)
		if !r.Take(0, 0, 1) {
			t.Fatal("perSecond 0 is a limit")
		}
	}
}

func TestRateOfBillions(t *testing.T) {
	var r Rate
	if !r.Take(0, 1<<40, 1) {
		t.Error("the first token was refused")
	}
}

// TestRateIsShared: goroutines that take at the same moment share one burst.
func TestRateIsShared(t *testing.T) {
	var r Rate
	var got atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				if r.Take(5*second, 100, 500) {
					got.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := got.Load(); n != 500 {
		t.Errorf("%d tokens, want 500", n)
	}
}
