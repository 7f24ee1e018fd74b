package persist

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal/journaltest"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// newFaulty is a bench on a disk that can fail.
func newFaulty(t *testing.T, change ...func(*Config)) (*bench, *journaltest.Disk) {
	t.Helper()
	var disk *journaltest.Disk
	b := newBench(t, append(change, func(c *Config) {
		disk = journaltest.New(c.Dir, false)
		c.FS = disk.FS()
		c.CheckpointInterval = 50 * time.Millisecond
	})...)
	return b, disk
}

// crashHealthy is crash onto a disk without faults.
func (b *bench) crashHealthy(boot string) {
	b.t.Helper()
	b.cfg.FS.Create = nil
	b.crash(boot)
}

func full(c journaltest.Call) *journaltest.Fault {
	if c.Op == "write" && strings.HasPrefix(c.Name, "journal/") || c.Op == "create" {
		return &journaltest.Fault{Err: syscall.ENOSPC, Short: c.Size / 2}
	}
	return nil
}

func TestFullDiskDeliversUnloggedAndRecoversAlone(t *testing.T) {
	b, disk := newFaulty(t)
	epoch := b.publish("a", "one").Epoch
	b.publish("quiet", "one")

	disk.Fail(full)
	t.Log("live delivery goes on, without a seq")
	r := b.publish("a", "two")
	if r.Logged || r.Seq != 0 || r.Err != nil || string(r.Payload) != "two" || r.Epoch != epoch {
		t.Fatalf("%+v %q", r, r.Payload)
	}
	if p, _ := b.log.Head("a"); !p.Broken || p.Seq != 1 {
		t.Fatalf("%+v", p)
	}
	b.wantReason("a", epoch, 1, ReasonUnavailable)
	if !b.log.mark.stands() {
		t.Fatal("no mark")
	}

	t.Log("a durable event is refused, and uses no seq")
	if r := b.start(Append{Key: "a", Rule: standard, Durable: true}, "no")(); !errors.Is(r.Err, ErrDurableUnavailable) {
		t.Fatalf("%+v", r)
	}
	b.clock.advance(2 * time.Second) // the next write is tried
	if r := b.start(Append{Key: "b", Rule: standard, Durable: true}, "no")(); !errors.Is(r.Err, ErrDurableUnavailable) {
		t.Fatalf("%+v", r)
	}

	t.Log("a channel without events meanwhile is whole")
	b.wantRecover("quiet", epoch, 0, "one#1")

	disk.Fail(nil)
	b.clock.advance(2 * time.Second)
	b.eventually("mended", func() bool { return b.log.Stats().Broken == 0 })
	p := b.position("a")
	if p.Broken || p.Epoch == epoch || p.Start != 1 || p.Seq != 1 {
		t.Fatalf("%+v", p)
	}
	r = b.publish("a", "three")
	if r.Seq != 2 || r.Start != 1 || r.Epoch != p.Epoch || !r.Logged {
		t.Fatalf("%+v", r)
	}
	b.wantReason("a", epoch, 1, ReasonEpoch)
	b.wantRecover("a", r.Epoch, 1, "three#2")
	b.eventually("the mark is taken away", func() bool { return !b.log.mark.stands() })
	if r := b.start(Append{Key: "a", Rule: standard, Durable: true}, "four")(); r.Err != nil || r.Seq != 3 {
		t.Fatalf("%+v", r)
	}

	t.Log("a kill now changes nothing")
	b.crashHealthy("boot-1")
	b.wantRecover("a", r.Epoch, 1, "three#2", "four#3")
	b.wantRecover("quiet", epoch, 0, "one#1")
}

func TestKillWhileBehindEndsAllEpochs(t *testing.T) {
	b, disk := newFaulty(t)
	epoch := b.publish("a", "one").Epoch
	durable := standard
	durable.Durable = true
	b.start(Append{Key: "durable", Rule: durable}, "one")()
	disk.Fail(full)
	b.publish("a", "two")
	b.crashHealthy("boot-1")
	b.wantReason("a", epoch, 1, ReasonEpoch)
	b.wantReason("durable", epoch, 1, ReasonEpoch)
	if b.log.mark.stands() {
		t.Fatal("the mark still stands")
	}
	p := b.position("a")
	b.crash("boot-1")
	if again := b.position("a"); again.Epoch != p.Epoch {
		t.Fatal("epochs ended twice")
	}
}

func TestFailedSyncRefusesWhatWaitedForIt(t *testing.T) {
	b, disk := newFaulty(t, func(c *Config) { c.Shards = 1; c.SyncInterval = 10 * time.Second })
	epoch := b.publish("a", "one").Epoch
	b.checkpoint()

	broken := func(c journaltest.Call) *journaltest.Fault {
		if c.Op == "sync" && strings.HasPrefix(c.Name, "journal/") || c.Op == "create" {
			return &journaltest.Fault{Err: syscall.EIO}
		}
		return nil
	}
	disk.Fail(broken)
	first := b.start(Append{Key: "a", Rule: standard, Durable: true, IdemKey: []byte("k")}, "two")
	// These come while the first one waits, or after it failed; both must be right.
	second := b.start(Append{Key: "a", Rule: standard}, "three")
	if r := first(); !errors.Is(r.Err, ErrDurableUnavailable) {
		t.Fatalf("%+v", r)
	}
	if r := second(); r.Err != nil || r.Logged || r.Seq != 0 || string(r.Payload) != "three" {
		t.Fatalf("%+v %q", r, r.Payload)
	}
	b.wantReason("a", epoch, 1, ReasonUnavailable)

	disk.Fail(nil)
	b.log.wantSync()
	b.clock.advance(2 * time.Second)
	b.eventually("mended", func() bool {
		b.clock.advance(time.Second)
		b.log.wantSync()
		return b.log.Stats().Broken == 0
	})
	p := b.position("a")
	if p.Epoch == epoch || p.Start != p.Seq {
		t.Fatalf("%+v", p)
	}
	t.Log("the key of the refused event may be used again")
	r := b.start(Append{Key: "a", Rule: standard, IdemKey: []byte("k")}, "two again")()
	if r.Duplicate || r.Err != nil || !r.Logged || r.Start != p.Seq || r.Seq != p.Seq+1 {
		t.Fatalf("%+v after %+v", r, p)
	}
	check := func() {
		t.Helper()
		b.wantRecover("a", r.Epoch, p.Seq, fmt.Sprintf("two again#%d", r.Seq))
		got := []string{}
		b.log.History("a", standard, 0, false, "", 100, func(e Event) bool {
			got = append(got, string(e.Payload))
			return true
		})
		for _, payload := range got {
			if strings.HasPrefix(payload, "two#") || strings.HasPrefix(payload, "three") {
				t.Fatalf("history has what was refused: %q", got)
			}
		}
	}
	check()
	b.eventually("the mark is taken away", func() bool { return !b.log.mark.stands() })
	b.crashHealthy("boot-1")
	check()
	b.checkpoint()
	check()
}

func TestTooMuchUnsaved(t *testing.T) {
	for _, failing := range []bool{false, true} {
		t.Run(fmt.Sprintf("checkpoints fail %v", failing), func(t *testing.T) {
			var broken atomic.Bool
			b, _ := newFaulty(t, func(c *Config) {
				c.UnsavedBytes = 4096
				c.Hooks.Step = func(segment.Step, string) error {
					if broken.Load() {
						return syscall.EIO
					}
					return nil
				}
			})
			b.publish("a", "first")
			b.checkpoint()
			broken.Store(failing)
			refused, unlogged := 0, 0
			for range 400 {
				r := b.publish("a", strings.Repeat("x", 500))
				switch {
				case errors.Is(r.Err, ErrBusy):
					refused++
				case r.Err != nil:
					t.Fatalf("%+v", r)
				case !r.Logged:
					unlogged++
				}
				if failing && unlogged == 0 {
					time.Sleep(time.Millisecond) // until a checkpoint has failed, it is refused
				}
			}
			if failing && unlogged == 0 || !failing && unlogged > 0 {
				t.Fatalf("%d refused, %d unlogged", refused, unlogged)
			}
			broken.Store(false)
			b.eventually("mended", func() bool { b.clock.advance(2 * time.Second); return b.log.Stats().Broken == 0 })
			b.checkpoint()
			if r := b.publish("a", "more"); !r.Logged {
				t.Fatalf("%+v", r)
			}
		})
	}
}

// Each file operation of a session fails once. Nothing that was acknowledged as
// durable is missing afterwards, and no client is told that it missed nothing when it
// did.
func TestEachOperationFailsOnce(t *testing.T) {
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC} {
		calls, tried := 1, 0 // known after the first session, in which none fails
		for n := 0; n <= calls; n += sized(5, 1) {
			b, disk := newFaulty(t, func(c *Config) {
				c.JournalBytes = 64 << 10
				c.Shards = 1
			})
			b.cfg.Logger = nil
			seen := 0
			var failed journaltest.Call
			m := newModel(t)
			disk.Fail(func(c journaltest.Call) *journaltest.Fault {
				if seen++; seen != n {
					return nil
				}
				failed = c
				return &journaltest.Fault{Err: errno, Short: c.Size / 3}
			})
			for i := range 30 {
				key := fmt.Sprintf("ch-%d", i%3)
				m.publish(b, Append{Key: key, Rule: standard, Durable: i%4 == 0}, fmt.Sprintf("e%d", i))
				if i == 15 {
					b.checkpoint2()
				}
			}
			b.clock.advance(2 * time.Second)
			m.publish(b, Append{Key: "ch-0", Rule: standard}, "last")
			calls = max(calls, seen)
			tried++
			disk.Fail(nil)
			what := fmt.Sprintf("%v at call %d (%+v)", errno, n, failed)
			m.check(b, what)
			b.crashHealthy("boot-1")
			m.check(b, what+", killed")
			b.log.Close()
			b.log = nil
		}
		t.Logf("%v: %d of %d calls failed", errno, tried, calls)
	}
}

// checkpoint2 asks for a checkpoint that may fail.
func (b *bench) checkpoint2() {
	b.log.wantCheckpoint()
	time.Sleep(5 * time.Millisecond)
}
