package tuning

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// lend plays a script on two cores, with a clock of its own. lent checks how many
// processors more the scheduler has; look lets takeBack look once.
func lend(t *testing.T, script func(s *Spare, lent func(want int, when string), look func())) {
	t.Helper()
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	synctest.Test(t, func(t *testing.T) {
		script(NewSpare(2), func(want int, when string) {
			t.Helper()
			if now := runtime.GOMAXPROCS(0) - 2; now != want {
				t.Errorf("%s: %d processors are lent, want %d", when, now, want)
			}
		}, func() {
			time.Sleep(lendFor) // of the script's own clock
			synctest.Wait()
		})
	})
}

func TestSpareLendsWhileThreadsSleep(t *testing.T) {
	lend(t, func(s *Spare, lent func(int, string), look func()) {
		s.Sleep()
		lent(1, "a thread sleeps")
		s.Sleep()
		lent(2, "another one, too")
		s.Awake()
		lent(2, "one woke: it may soon sleep again")
		look()
		look()
		lent(1, "it did not")
		s.Awake()
		look()
		look()
		lent(0, "both woke")

		t.Log("netpoll and the sequencer have theirs for as long as requests come")
		s.Serve()
		lent(whileServing, "a request")
		s.Sleep()
		lent(whileServing+1, "and its journal's sync")
		s.Awake()
		look()
		s.Serve()
		look()
		lent(whileServing, "a request since")
		look()
		look()
		lent(0, "no more requests")
	})
}

// While requests come, a sync of a server that has rests needs no processor of its own.
func TestSpareKeepsToItselfWhileThereAreRests(t *testing.T) {
	lend(t, func(s *Spare, lent func(int, string), look func()) {
		busy := false
		s.Watch(func(time.Duration) bool { return busy })
		s.Sleep()
		lent(1, "a sync without requests")
		s.Serve()
		lent(whileServing, "a request meanwhile")
		s.Awake()
		for range 5 {
			s.Serve()
			s.Sleep()
			lent(whileServing, "a sync beside requests")
			s.Awake()
			look()
		}
		busy = true
		s.Sleep()
		lent(whileServing+1, "a sync of a busy server")
		s.Awake()
	})
}

// Each change of the number of processors stops the world.
func TestSpareChangesNothingUnderSteadyLoad(t *testing.T) {
	lend(t, func(s *Spare, lent func(int, string), look func()) {
		for range 10 {
			for range 3 {
				s.Serve()
				s.Sleep()
				lent(whileServing+1, "a sync")
				s.Awake()
			}
			look()
			lent(whileServing+1, "between two syncs")
		}
	})
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

func TestScheduleAsBatch(t *testing.T) {
	runtime.LockOSThread() // not unlocked: the thread ends with the test, and its policy with it
	if err := ScheduleAsBatch(); err != nil {
		t.Fatal(err)
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if attr.Policy != unix.SCHED_BATCH {
		t.Fatalf("the policy is %d, want %d", attr.Policy, unix.SCHED_BATCH)
	}
	// An earlier kernel than 6.12 has no slices of threads, and tells 0.
	if attr.Runtime != 0 && attr.Runtime != uint64(slice) {
		t.Fatalf("a slice is %d ns, want %d", attr.Runtime, slice)
	}
}
