package persist

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soak switches the tests that have two sizes to the large one.
var soak = os.Getenv("HOLDFAST_SOAK") != ""

func sized(usual, large int) int {
	if soak {
		return large
	}
	return usual
}

// clock is a wall clock that moves when the test says so.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// bench is a log in a directory of its own, that the test opens, kills and opens
// again.
type bench struct {
	t     testing.TB
	dir   string
	clock *clock
	cfg   Config
	log   *Log
}

// standard is the rule that tests use unless they say otherwise.
var standard = Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true}

// quickDir is a directory in memory if there is a large one: what a kill or a power
// cut leaves is known or computed, so nothing is gained by waiting for a disk.
// Benchmarks have a real one.
func quickDir(t testing.TB) string {
	t.Helper()
	const shm, enough = "/dev/shm", 2 << 30
	var fs unix.Statfs_t
	if _, timed := t.(*testing.B); timed || unix.Statfs(shm, &fs) != nil || int64(fs.Bavail)*fs.Bsize < enough {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "holdfast-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newBench opens a log. change may alter its configuration.
func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, dir: quickDir(t), clock: newClock()}
	b.cfg = Default()
	b.cfg.Dir, b.cfg.Now, b.cfg.BootID = b.dir, b.clock.now, "boot-1"
	b.cfg.Logger = func(level, msg string, kv ...any) { t.Log(append([]any{level, msg}, kv...)...) }
	for _, f := range change {
		f(&b.cfg)
	}
	b.open()
	t.Cleanup(func() {
		if b.log != nil {
			b.log.Close()
		}
	})
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.log, err = Open(b.cfg); err != nil {
		b.t.Fatalf("open: %v", err)
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.log.Close(); err != nil {
		b.t.Fatalf("close: %v", err)
	}
	b.log = nil
}

// restart closes the log properly and opens it again.
func (b *bench) restart() {
	b.t.Helper()
	b.close()
	b.open()
}

// crash leaves a copy of the directory as a killed process would, and opens that;
// boot names the kernel that the new process runs on.
func (b *bench) crash(boot string) {
	b.t.Helper()
	killed := b.log
	dir := b.snapshot()
	killed.Close()
	b.dir, b.cfg.Dir, b.cfg.BootID = dir, dir, boot
	b.open()
}

// snapshot copies the directory as a kill would leave it: while the checkpointer is
// at rest, since no copy of a file is what it was at one moment.
func (b *bench) snapshot() string {
	b.t.Helper()
	b.log.pass.Lock()
	defer b.log.pass.Unlock()
	dir := quickDir(b.t)
	if err := os.CopyFS(dir, os.DirFS(b.dir)); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// text is an item whose payload says what it is and which seq it got.
type text struct {
	body string
	done func(Result)
}

func (m *text) AppendPayload(dst []byte, epoch string, seq uint64) []byte {
	if seq == 0 {
		return append(dst, m.body...)
	}
	return fmt.Appendf(dst, "%s#%d", m.body, seq)
}

func (m *text) Done(r Result) { m.done(r) }

// start appends and returns a function that waits for the result.
func (b *bench) start(a Append, body string) func() Result {
	b.t.Helper()
	ch := make(chan Result, 1)
	a.Item = &text{body: body, done: func(r Result) { ch <- r }}
	if err := b.log.Append([]Append{a}); err != nil {
		return func() Result { return Result{Err: err} }
	}
	return func() Result {
		b.t.Helper()
		select {
		case r := <-ch:
			return r
		case <-time.After(20 * time.Second):
			b.t.Fatalf("%s of %q was not done", body, a.Key)
			return Result{}
		}
	}
}

// publish appends one event under the standard rule and waits.
func (b *bench) publish(key, body string) Result {
	b.t.Helper()
	return b.start(Append{Key: key, Rule: standard}, body)()
}

// publishN appends n events that are called body-i and waits for all.
func (b *bench) publishN(key, body string, n int, rule Rule) {
	b.t.Helper()
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		item := &text{body: fmt.Sprintf("%s-%d", body, i+1), done: func(r Result) {
			if r.Err != nil {
				b.t.Errorf("publish to %q: %v", key, r.Err)
			}
			wg.Done()
		}}
		for {
			err := b.log.Append([]Append{{Key: key, Rule: rule, Item: item}})
			if err == nil {
				break
			}
			if err != ErrBusy {
				b.t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	wg.Wait()
}

// checkpoint writes everything to the segments and returns when it has.
func (b *bench) checkpoint() {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for b.log.unsavedEvents.Load() > 0 {
		b.log.wantCheckpoint()
		if time.Now().After(deadline) {
			b.t.Fatalf("%d events are still unsaved", b.log.unsavedEvents.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// eventually waits for a state that a goroutine of the log brings about.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *bench) position(key string) Position {
	b.t.Helper()
	p, err := b.log.Load(key)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// read returns the payloads of (from, to], block by block.
func (b *bench) read(key string, from, to uint64) []string {
	b.t.Helper()
	var got []string
	for at := from + 1; at <= to; {
		block, err := b.log.Block(key, at)
		if err != nil {
			b.t.Fatalf("block of %q at %d: %v", key, at, err)
		}
		if !block.Has(at) || block.Key != key {
			b.t.Fatalf("block of %q at %d is %q %d–%d", key, at, block.Key, block.First, block.Last)
		}
		for ; at <= min(block.Last, to); at++ {
			got = append(got, string(block.Payload(at)))
		}
	}
	return got
}

// wantRecover recovers and reads what was promised.
func (b *bench) wantRecover(key, epoch string, from uint64, want ...string) {
	b.t.Helper()
	p, reason := b.log.Recover(key, standard, epoch, from, 1000)
	if reason != ReasonOK {
		b.t.Fatalf("recover %q from %s:%d: %q, at %+v", key, epoch, from, reason, p)
	}
	if got := b.read(key, from, p.Seq); strings.Join(got, " ") != strings.Join(want, " ") {
		b.t.Fatalf("recover %q from %d: %q, want %q", key, from, got, want)
	}
}

func (b *bench) wantReason(key, epoch string, from uint64, want Reason) Position {
	b.t.Helper()
	p, reason := b.log.Recover(key, standard, epoch, from, 1000)
	if reason != want {
		b.t.Fatalf("recover %q from %s:%d: %q, want %q, at %+v", key, epoch, from, reason, want, p)
	}
	return p
}
