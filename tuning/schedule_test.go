package tuning

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lent waits until the scheduler has so many processors more than cores.
func lent(t *testing.T, cores, want int, when string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.GOMAXPROCS(0) != cores+want {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d processors are lent, want %d", when, runtime.GOMAXPROCS(0)-cores, want)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

func TestSpareLendsWhileThreadsSleep(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	s := NewSpare(2)

	s.Sleep()
	lent(t, 2, 1, "a thread sleeps")
	s.Sleep()
	lent(t, 2, 2, "another one, too")
	s.Awake()
	lent(t, 2, 1, "one woke")
	s.Awake()
	lent(t, 2, 0, "both woke")

	t.Log("netpoll and the sequencer have theirs for as long as requests come")
	s.Serve()
	lent(t, 2, whileServing, "a request")
	s.Sleep()
	lent(t, 2, whileServing+1, "and its journal's sync")
	s.Awake()
	lent(t, 2, 0, "no more requests")
}

func TestSpareLeavesManyCoresAlone(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	s := NewSpare(fewCores + 1)
	s.Sleep()
	s.Serve()
	if now := runtime.GOMAXPROCS(0); now != before {
		t.Fatalf("%d processors, %d before", now, before)
	}
	s.Awake()
}

func TestShortenSlices(t *testing.T) {
	runtime.LockOSThread() // not unlocked: the thread ends with the test, and its slice with it
	if err := ShortenSlices(); err != nil {
		t.Fatal(err)
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	// An earlier kernel than 6.12 has no slices of threads, and tells 0.
	if attr.Runtime != 0 && attr.Runtime != uint64(slice) {
		t.Fatalf("a slice is %d ns, want %d", attr.Runtime, slice)
	}
}
