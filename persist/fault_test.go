package persist

import (
	"errors"
	"fmt"
	"os"
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
			// A test each, so that its directories are gone before the next.
			t.Run(fmt.Sprintf("%v at call %d", errno, n), func(t *testing.T) {
				calls = max(calls, playFailingOnce(t, n, errno))
				tried++
			})
		}
		t.Logf("%v: %d of %d calls failed", errno, tried, calls)
	}
}

// playFailingOnce plays a session in which the nth file operation fails, and judges
// what it leaves. It returns the number of operations.
func playFailingOnce(t *testing.T, n int, errno error) (calls int) {
	b, disk := newFaulty(t, func(c *Config) {
		c.JournalBytes = 64 << 10
		c.Shards = 1
	})
	b.cfg.Logger = nil
	var failed journaltest.Call
	m := newModel(t)
	disk.Fail(func(c journaltest.Call) *journaltest.Fault {
		if calls++; calls != n {
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
	disk.Fail(nil)
	what := fmt.Sprintf("%+v failed", failed)
	m.check(b, what)
	b.crashHealthy("boot-1")
	m.check(b, what+", killed")
	return calls
}

// checkpoint2 asks for a checkpoint that may fail.
func (b *bench) checkpoint2() {
	b.log.wantCheckpoint()
	time.Sleep(5 * time.Millisecond)
}

// What was taken stays readable though a later event of the channel was withdrawn.
func TestHistoryStepsOverWithdrawnEvents(t *testing.T) {
	b, disk := newFaulty(t, func(c *Config) { c.Shards = 1 })
	durable := standard
	durable.Durable = true
	for range 12 {
		if r := b.start(Append{Key: "a", Rule: durable}, "before")(); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	disk.Fail(func(c journaltest.Call) *journaltest.Fault {
		if c.Op == "sync" && strings.HasPrefix(c.Name, "journal/") || c.Op == "create" {
			return &journaltest.Fault{Err: syscall.EIO}
		}
		return nil
	})
	if r := b.start(Append{Key: "a", Rule: durable}, "refused")(); !errors.Is(r.Err, ErrDurableUnavailable) {
		t.Fatalf("%+v", r)
	}
	disk.Fail(nil)
	b.eventually("mended", func() bool {
		b.clock.advance(time.Second)
		b.log.wantSync()
		return b.log.Stats().Broken == 0
	})
	for range 3 {
		if r := b.start(Append{Key: "a", Rule: durable}, "after")(); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	b.eventually("the mark is taken away", func() bool { return !b.log.mark.stands() })
	check := func() {
		t.Helper()
		p := b.position("a")
		for limit := 1; limit <= 20; limit++ {
			var got []string
			from, has := uint64(0), false
			for {
				n := 0
				_, oldest, reason := b.log.History("a", durable, from, has, p.Epoch, limit, func(e Event) bool {
					got = append(got, string(e.Payload))
					from, has = e.Seq, true
					n++
					return true
				})
				if reason != ReasonOK || oldest != 1 {
					t.Fatalf("limit %d, after %d: %q, oldest %d", limit, from, reason, oldest)
				}
				if n == 0 {
					break
				}
			}
			if len(got) != 15 || got[0] != "before#1" || got[11] != "before#12" || got[14] != fmt.Sprintf("after#%d", p.Seq) {
				t.Fatalf("limit %d: %q", limit, got)
			}
		}
		if _, from := b.log.Rewind("a", durable, 100, 0); from != p.Seq-3 {
			t.Fatalf("a rewind begins at %d of %+v", from, p)
		}
	}
	check()
	b.checkpoint()
	check()
	b.restart()
	check()
}

func TestStartOnAFullDiskDelivers(t *testing.T) {
	b, _ := newFaulty(t)
	epoch := b.publish("a", "one").Epoch
	for _, boot := range []string{"boot-1", "boot-2"} {
		t.Log(boot)
		dir := b.snapshot()
		b.log.Close()
		b.dir, b.cfg.Dir, b.cfg.BootID = dir, dir, boot
		disk := journaltest.New(dir, false)
		b.cfg.FS = disk.FS()
		disk.Fail(full)
		b.open()
		r := b.publish("a", "two")
		if r.Err != nil || r.Logged {
			t.Fatalf("%+v", r)
		}
		if r := b.start(Append{Key: "a", Rule: standard, Durable: true}, "no")(); !errors.Is(r.Err, ErrDurableUnavailable) {
			t.Fatalf("%+v", r)
		}
		t.Log("killed like that, no epoch goes on")
		shown := b.position("a").Epoch
		dir = b.snapshot()
		b.log.Close()
		b.dir, b.cfg.Dir = dir, dir
		disk = journaltest.New(dir, false)
		b.cfg.FS = disk.FS()
		disk.Fail(full)
		b.open()
		if p := b.position("a"); p.Epoch == shown || p.Epoch == epoch {
			t.Fatalf("%+v", p)
		}
		t.Log("and with room it goes on by itself")
		disk.Fail(nil)
		b.eventually("ready", func() bool {
			b.clock.advance(2 * time.Second)
			b.log.wantSync()
			return !b.log.unready.Load() && b.publish("a", "three").Logged
		})
		p := b.position("a")
		if p.Broken {
			t.Fatalf("%+v", p)
		}
		epoch = p.Epoch
		b.eventually("the mark is taken away", func() bool { return !b.log.mark.stands() })
	}
}

func TestLogThatCannotBeOpenedStandsBy(t *testing.T) {
	b, _ := newFaulty(t)
	epoch := b.publish("a", "one").Epoch
	b.checkpoint()
	dir := b.snapshot()
	b.log.Close()
	var failing atomic.Bool
	failing.Store(true)
	b.dir, b.cfg.Dir = dir, dir
	b.cfg.FS = journaltest.New(dir, false).FS()
	b.cfg.Hooks.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		if failing.Load() {
			return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
		}
		return os.OpenFile(name, flag, perm)
	}
	b.open()
	if r := b.publish("a", "two"); r.Err != nil || r.Logged || string(r.Payload) != "two" {
		t.Fatalf("%+v", r)
	}
	if r := b.start(Append{Key: "a", Rule: standard, Durable: true}, "no")(); !errors.Is(r.Err, ErrDurableUnavailable) {
		t.Fatalf("%+v", r)
	}
	if p, resident := b.log.Head("a"); !resident || !p.Broken {
		t.Fatalf("%+v", p)
	}
	b.wantReason("a", epoch, 1, ReasonUnavailable)
	if _, err := b.log.Block("a", 1); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	prometheusText(t, b.log)
	failing.Store(false)
	b.eventually("open", func() bool { return !b.log.standby.Load() })
	b.wantReason("a", epoch, 1, ReasonEpoch)
	r := b.publish("a", "three")
	if !r.Logged || r.Seq != 2 || r.Epoch == epoch {
		t.Fatalf("%+v", r)
	}
	b.wantRecover("a", r.Epoch, 1, "three#2")
	b.restart()
	b.wantRecover("a", r.Epoch, 1, "three#2")

	t.Log("closed while it stands by")
	b.close()
	failing.Store(true)
	b.open()
	b.publish("a", "four")
	b.close()
	failing.Store(false)
	b.open()
	b.wantReason("a", r.Epoch, 2, ReasonEpoch)
}
