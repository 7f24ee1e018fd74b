package netio

import (
	"sync"
	"testing"
)

// TestDoorPoolKeepsWhatASecondNeeds: workers wait for the next burst, and those that
// none needed go, but for a few.
func TestDoorPoolKeepsWhatASecondNeeds(t *testing.T) {
	const most, some = doorKeptWorkers + 40, doorKeptWorkers + 10
	p := newDoorPool(most)
	// burst has n tasks run at the same time.
	burst := func(n int) {
		var began, ended sync.WaitGroup
		end := make(chan struct{})
		began.Add(n)
		ended.Add(n)
		for range n {
			p.start(doorTask{&doorConn{}, func() { began.Done(); <-end; ended.Done() }})
		}
		began.Wait()
		close(end)
		ended.Wait()
	}
	idle := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.idle)
	}
	kept := 0
	// second is one in which n tasks run at the same time; at its end want workers stay.
	second := func(n, want int) {
		t.Helper()
		burst(n)
		kept = max(kept, n)
		eventually(t, "all workers rest", func() bool { return idle() == kept })
		p.trim()
		kept = want
		if got := idle(); got != want {
			t.Errorf("%d workers are kept after a second that needed %d, want %d", got, n, want)
		}
	}
	second(most, most)
	second(some, some)
	second(0, doorKeptWorkers)
	second(0, doorKeptWorkers)
	p.close()
	if got := idle(); got != 0 {
		t.Errorf("%d workers are kept after the end", got)
	}
}
