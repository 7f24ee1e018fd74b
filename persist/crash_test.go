package persist

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal/journaltest"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// recorded is a session whose disk was remembered.
type recorded struct {
	disk  *journaltest.Disk
	model *model
	cfg   Config
	clock *clock
}

// playSession runs a session: some channels plain, some durable, some of both; with
// checkpoints, rotations, and a disk that fails for a while if faulty says so.
func playSession(t *testing.T, seed uint64, faulty bool) *recorded {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	dir, copies := quickDir(t), quickDir(t)
	disk := journaltest.New(dir, true)
	saved := 0
	save := func() {
		to := filepath.Join(copies, fmt.Sprint(saved))
		saved++
		if err := os.CopyFS(to, os.DirFS(filepath.Join(dir, segmentsDir))); err != nil {
			t.Errorf("copy segments: %v", err)
		}
		disk.Note(to)
	}
	b := &bench{t: t, dir: dir, clock: newClock()}
	b.cfg = Default()
	b.cfg.Dir, b.cfg.Now, b.cfg.BootID, b.cfg.FS = dir, b.clock.now, "boot-1", disk.FS()
	b.cfg.Shards, b.cfg.JournalBytes = 2, 64<<10
	b.cfg.CheckpointInterval, b.cfg.SyncInterval = 50*time.Millisecond, 10*time.Millisecond
	b.cfg.CheckpointEvents = 64
	b.cfg.Hooks = segment.Hooks{Step: func(s segment.Step, _ string) error {
		if s == segment.StepCommitted {
			save()
		}
		return nil
	}}
	b.open()
	r := &recorded{disk: disk, model: newModel(t), cfg: b.cfg, clock: b.clock}
	r.model.at = disk.Steps

	durable := standard
	durable.Durable = true
	events := sized(400, 1200)
	var wg sync.WaitGroup
	for i := range events {
		if faulty {
			switch i {
			case events / 3:
				disk.Fail(full)
			case events / 3 * 2:
				disk.FailNth("sync", "journal/", 1, syscall.EIO)
				b.clock.advance(2 * time.Second)
			}
		}
		a := Append{Key: fmt.Sprintf("ch-%d", rng.IntN(8)), Rule: standard}
		switch a.Key {
		case "ch-0", "ch-1":
			a.Rule = durable
		case "ch-2":
			a.Durable = rng.IntN(3) == 0
		case "ch-3":
			if i > events/2 {
				a.Rule = durable
			}
		case "ch-4":
			if i/(events/8)%2 == 0 {
				a.Rule = durable
			}
		}
		body := fmt.Sprintf("%d%s", i, strings.Repeat(".", rng.IntN(600)))
		wg.Add(1)
		a.Item = r.model.item(a, body, func(Result) { wg.Done() })
		if b.log.Append([]Append{a}) != nil {
			wg.Done()
		}
		if rng.IntN(10) == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	if faulty {
		b.clock.advance(2 * time.Second)
		b.eventually("mended", func() bool {
			b.clock.advance(time.Second)
			return b.log.Stats().Broken == 0
		})
	}
	b.checkpoint()
	b.close()
	return r
}

// judge opens an image of the session's first steps, and judges it.
func (r *recorded) judge(t *testing.T, steps int, loss journaltest.Loss, rng *rand.Rand, what string) {
	t.Helper()
	dir := quickDir(t)
	defer os.RemoveAll(dir)
	note, err := r.disk.Image(dir, steps, loss, rng)
	if err != nil {
		t.Fatal(err)
	}
	if note != nil {
		if err := os.CopyFS(filepath.Join(dir, segmentsDir), os.DirFS(note.(string))); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{t: t, dir: dir, clock: r.clock, cfg: r.cfg}
	b.cfg.Dir, b.cfg.FS, b.cfg.Hooks = dir, journaltest.New(dir, false).FS(), segment.Hooks{}
	b.cfg.CheckpointInterval = 10 * time.Second
	if loss != journaltest.Killed {
		b.cfg.BootID = "boot-2"
	}
	b.open()
	defer b.log.Close()
	handed := steps
	if loss == journaltest.Killed {
		handed-- // the last write was under way
	}
	m := r.model.until(handed)
	m.t = t
	m.check(b, what)
	if loss == journaltest.Killed && !b.log.wasHard() {
		m.wantAllKept(b, what)
	}
	// What comes next must not be mistaken for what was lost.
	m.at = nil
	for key := range m.submitted {
		for i := range 3 {
			m.publish(b, Append{Key: key, Rule: standard}, fmt.Sprintf("later-%d", i))
		}
	}
	if rng.IntN(2) == 0 {
		b.checkpoint()
	}
	m.check(b, what+", later")
}

// wasHard tells whether this start ended all epochs.
func (l *Log) wasHard() bool { m := l.meta.Load(); return m.hard == m.life }

// wantAllKept: after a kill, whatever was handed out with a seq is recovered, under
// the epoch that it was handed out with if that is still the channel's.
func (m *model) wantAllKept(b *bench, what string) {
	m.t.Helper()
	for key, all := range m.given {
		p := b.position(key)
		for _, g := range all {
			if g.seq > p.Seq || g.epoch == p.Epoch && g.seq > p.Start && b.log.shardOf(key).find(key).floor >= g.seq {
				m.t.Fatalf("%s: %q: seq %d was handed out, the head is %+v", what, key, g.seq, p)
			}
		}
		if n := len(all); n > 0 && all[n-1].seq > 0 && all[n-1].epoch == p.Epoch {
			if _, reason := b.log.Recover(key, m.rule, p.Epoch, all[n-1].seq, 100000); reason != ReasonOK {
				m.t.Fatalf("%s: %q: the last client does not recover: %q at %+v", what, key, reason, p)
			}
		}
	}
}

func TestCrashImages(t *testing.T) {
	for _, faulty := range []bool{false, true} {
		t.Run(fmt.Sprintf("faulty %v", faulty), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if s := os.Getenv("HOLDFAST_SEED"); s != "" {
				fmt.Sscan(s, &seed)
			}
			rng := rand.New(rand.NewPCG(seed, 2))
			r := playSession(t, seed, faulty)
			total := r.disk.Steps()
			for i := range sized(150, 5000) {
				steps, loss := rng.IntN(total+1), journaltest.Loss(rng.IntN(int(journaltest.Losses)))
				r.judge(t, steps, loss, rng, fmt.Sprintf("HOLDFAST_SEED=%d, image %d: %d of %d steps, loss %d", seed, i, steps, total, loss))
			}
		})
	}
}
