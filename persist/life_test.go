package persist

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKillKeepsEpochs(t *testing.T) {
	b := newBench(t)
	epoch := b.publish("a", "one").Epoch
	b.checkpoint()
	b.publish("a", "two")
	b.crash("boot-1")
	if p := b.position("a"); p.Epoch != epoch || p.Seq != 2 {
		t.Fatalf("%+v", p)
	}
	b.wantRecover("a", epoch, 0, "one#1", "two#2")
	if p, _ := b.log.Head("never"); p.Epoch != epoch {
		t.Fatalf("the life's id changed: %+v", p)
	}
}

func TestPowerCutEndsEpochsThatAreNotDurable(t *testing.T) {
	durable := standard
	durable.Durable = true
	b := newBench(t)
	plain := b.publish("plain", "one").Epoch
	kept := b.start(Append{Key: "durable", Rule: durable}, "one")().Epoch
	b.start(Append{Key: "was", Rule: durable}, "one")()
	was := b.start(Append{Key: "was", Rule: standard}, "two")().Epoch
	idle, _ := b.log.Head("idle")

	for _, boot := range []string{"boot-2", "boot-3"} {
		t.Log(boot)
		b.crash(boot)
		p := b.wantReason("plain", plain, 1, ReasonEpoch)
		if p.Seq != 1 || p.Start != 1 || p.Epoch == plain {
			t.Fatalf("%+v", p)
		}
		if again := b.position("plain"); again.Epoch != p.Epoch {
			t.Fatalf("epoch changed by looking: %+v, %+v", p, again)
		}
		b.wantRecover("durable", kept, 0, "one#1")
		b.wantReason("was", was, 2, ReasonEpoch)
		if now, _ := b.log.Head("idle"); now.Epoch == idle.Epoch {
			t.Fatal("channels without events kept their epoch")
		}
		t.Log("what was kept stays readable")
		if _, from := b.log.Rewind("plain", standard, 10, 0); from != 0 {
			t.Fatalf("rewind begins at %d", from)
		}
	}

	t.Log("the new epoch goes on, and is the same after a proper restart")
	r := b.publish("plain", "two")
	if r.Seq != 2 || r.Start != 1 || r.Epoch == plain {
		t.Fatalf("%+v", r)
	}
	b.cfg.BootID = "boot-4"
	b.restart()
	b.wantRecover("plain", r.Epoch, 1, "two#2")
	b.wantReason("plain", r.Epoch, 0, ReasonEpoch)
}

func TestHeadsAreForgottenAndTheLifeEnds(t *testing.T) {
	b := newBench(t, func(c *Config) { c.HeadAge = time.Hour; c.CheckpointInterval = 50 * time.Millisecond })
	old := b.publish("old", "one").Epoch
	b.start(Append{Key: "cache", Cache: 3 * time.Hour}, "x")()
	b.checkpoint()
	b.clock.advance(2 * time.Hour)
	b.publish("new", "one")
	b.eventually("the old head is gone", func() bool { return !b.log.store.MayHaveHead("old") && b.log.shardOf("old").find("old") == nil })
	b.eventually("a new life", func() bool { return b.log.meta.Load().id != old })
	p := b.wantReason("old", old, 1, ReasonEpoch)
	if p.Seq != 0 {
		t.Fatalf("%+v", p)
	}
	if r := b.publish("old", "again"); r.Seq != 1 || r.Epoch == old {
		t.Fatalf("%+v", r)
	}
	b.wantRecover("old", b.position("old").Epoch, 0, "again#1")
	b.wantRecover("new", old, 0, "one#1")
	b.position("cache")
	if _, _, ok := b.log.Last("cache"); !ok {
		t.Fatal("a last event was forgotten before its time")
	}
}

func TestIdleChannelsLeaveMemory(t *testing.T) {
	b := newBench(t, func(c *Config) { c.CheckpointInterval = 50 * time.Millisecond })
	epoch := b.publish("a", "one").Epoch
	b.checkpoint()
	b.clock.advance(2 * time.Minute)
	b.eventually("evicted", func() bool { return b.log.Stats().Resident == 0 })
	if _, resident := b.log.Head("a"); resident {
		t.Fatal("resident")
	}
	if b.log.Hot("a", 1) != nil {
		t.Fatal("hot")
	}
	b.wantRecover("a", epoch, 0, "one#1")
	if p, resident := b.log.Head("a"); !resident || p.Seq != 1 || p.Epoch != epoch {
		t.Fatalf("%+v %v", p, resident)
	}
	if b.log.Hot("a", 1) == nil {
		t.Fatal("what was recovered is not hot")
	}
	if r := b.publish("a", "two"); r.Seq != 2 || r.Epoch != epoch {
		t.Fatalf("%+v", r)
	}
}

func TestDamagedFilesAreSetAsideAndEpochsEnd(t *testing.T) {
	durable := standard
	durable.Durable = true
	for name, c := range map[string]struct {
		file  string
		at    int64
		ends  bool // epochs end at once
		reads bool // what was kept can still be read
	}{
		"journal": {"journal/journal-*1", 40, true, false},
		"heads":   {"segments/heads.db", 0, true, false},
		"meta":    {"meta", 0, true, true},
		"mark":    {"behind", 0, true, true},
		"segment": {"segments/seg-*", 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			epoch := b.start(Append{Key: "a", Rule: durable}, "one")().Epoch
			if name != "journal" {
				b.restart()
			}
			killed := b.log
			dir := b.snapshot()
			killed.Close()
			files, _ := filepath.Glob(filepath.Join(dir, c.file))
			if len(files) == 0 {
				t.Fatalf("no file %s", c.file)
			}
			smash(t, files[0], c.at)
			b.dir, b.cfg.Dir = dir, dir
			b.open()
			p, reason := b.log.Recover("a", durable, epoch, 0, 10)
			switch {
			case c.ends && reason != ReasonEpoch, !c.ends && reason == ReasonOK:
				t.Fatalf("%q at %+v", reason, p)
			}
			if _, from := b.log.Rewind("a", standard, 10, 0); c.reads != (from == 0 && p.Seq == 1) {
				t.Fatalf("rewind begins at %d of %+v", from, p)
			}
			if r := b.publish("a", "two"); r.Err != nil || !r.Logged || c.ends && r.Epoch == epoch {
				t.Fatalf("%+v", r)
			}
			b.restart()
			if p := b.position("a"); c.ends && p.Epoch == epoch {
				t.Fatalf("the old epoch came back: %+v", p)
			}
		})
	}
}

// smash overwrites the rest of a file, or its first pages, with garbage.
func smash(t *testing.T, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := at; i < int64(len(b)) && i < at+3*4096; i++ {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLostMetaNeverRepeatsALife: the life that follows a lost one is higher than any
// that was ever counted, also when the clock stands still or goes back.
func TestLostMetaNeverRepeatsALife(t *testing.T) {
	b := newBench(t)
	durable := standard
	durable.Durable = true
	seen := map[string]bool{}
	for i := range 6 {
		r := b.start(Append{Key: "a", Rule: durable}, "x")()
		if r.Err != nil || seen[r.Epoch] {
			t.Fatalf("start %d: %+v, epochs so far %v", i, r, seen)
		}
		seen[r.Epoch] = true
		if i%2 == 0 {
			b.checkpoint() // else only the journal tells
		}
		killed, dir := b.log, b.snapshot()
		killed.Close()
		if err := os.Remove(filepath.Join(dir, "meta")); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			b.clock.advance(-time.Hour)
		}
		b.dir, b.cfg.Dir = dir, dir
		b.open()
		b.wantReason("a", r.Epoch, r.Seq, ReasonEpoch)
	}
}
