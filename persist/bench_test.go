package persist

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// payload is an item of a fixed size that tells nobody but a channel.
type payload struct {
	text []byte
	done chan Result
}

func (p *payload) AppendPayload(dst []byte, _ string, _ uint64) []byte { return append(dst, p.text...) }
func (p *payload) Done(r Result)                                       { p.done <- r }

// publishers runs b.N appends over 1,000 channels from 1,024 goroutines, each of
// which waits for its event before the next.
func publishers(b *testing.B, durable bool, change ...func(*Config)) {
	change = append(change, func(c *Config) { c.Now = time.Now; c.Logger = nil })
	bench := newBench(b, change...)
	const goroutines, channels = 1024, 1000
	keys := make([]string, channels)
	for i := range keys {
		keys[i] = fmt.Sprintf("app/private-orders.%d", i)
	}
	text := make([]byte, 165)
	for i := range text {
		text[i] = 'x'
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var unlogged atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			item := &payload{text: text, done: make(chan Result, 1)}
			for i := g; left.Add(-1) >= 0; i++ {
				events := []Append{{Key: keys[i%channels], Rule: standard, Durable: durable, Item: item}}
				for bench.log.Append(events) != nil {
					time.Sleep(time.Millisecond)
				}
				if r := <-item.done; r.Err != nil || !r.Logged {
					unlogged.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(float64(bench.log.unsavedEvents.Load()), "unsaved")
	if n := unlogged.Load(); n > 0 {
		b.Errorf("%d events failed or were not logged", n)
	}
}

func BenchmarkDurableAppend(b *testing.B) { publishers(b, true) }

func BenchmarkPlainAppend(b *testing.B) { publishers(b, false) }

func BenchmarkShardsOfDurable(b *testing.B) {
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { publishers(b, true, func(c *Config) { c.Shards = n }) })
	}
}

// replayed is a channel with a million events on disk.
func replayed(b *testing.B) (*bench, Rule, string) {
	rule := Rule{Events: 1_000_000, Age: 24 * time.Hour, Bytes: 1 << 30, Replay: true}
	bench := newBench(b, func(c *Config) { c.Logger = nil; c.QueueEvents = 1 << 21; c.QueueBytes = 1 << 31 })
	text := make([]byte, 165)
	done := make(chan Result, 1000)
	item := &payload{text: text, done: done}
	batch := make([]Append, 1000)
	for i := range batch {
		batch[i] = Append{Key: "app/big", Rule: rule, Item: item}
	}
	for range 1000 {
		for bench.log.Append(batch) == ErrBusy {
			time.Sleep(time.Millisecond)
		}
		for range batch {
			if r := <-done; !r.Logged {
				b.Fatalf("%+v", r)
			}
		}
	}
	bench.checkpoint()
	return bench, rule, bench.position("app/big").Epoch
}

// replay is one client that missed 100 events, which begin at from.
func (b *bench) replay(rule Rule, epoch string, from uint64) {
	if p, reason := b.log.Recover("app/big", rule, epoch, from, 1_000_000); reason != ReasonOK {
		b.t.Fatalf("from %d: %q at %+v", from, reason, p)
	}
}

// BenchmarkReplay: the last 100 of 1,000,000 events are recovered, from the page
// cache and from memory.
func BenchmarkReplay(b *testing.B) {
	bench, rule, epoch := replayed(b)
	b.Run("cold", func(b *testing.B) {
		bench.t = b
		c := bench.log.shardOf("app/big").find("app/big")
		for b.Loop() {
			bench.log.store.ForgetBlocks()
			c.mu.Lock()
			c.keepLocked(nil)
			c.mu.Unlock()
			bench.replay(rule, epoch, 1_000_000-100)
		}
	})
	b.Run("hot", func(b *testing.B) {
		bench.t = b
		b.ReportAllocs()
		for b.Loop() {
			bench.replay(rule, epoch, 1_000_000-100)
			for at := uint64(1_000_000 - 99); at <= 1_000_000; {
				block := bench.log.Hot("app/big", at)
				if block == nil {
					b.Fatalf("%d is not hot", at)
				}
				at = block.Last + 1
			}
		}
	})
}

// BenchmarkOpen starts on what a kill leaves when nothing could be checkpointed: 200
// MB of journal.
func BenchmarkOpen(b *testing.B) {
	var failing atomic.Bool
	bench := newBench(b, func(c *Config) {
		c.Logger = nil
		c.UnsavedBytes, c.QueueBytes, c.CheckpointInterval = 1<<32, 1<<31, 10*time.Second
		c.Hooks.Step = func(segment.Step, string) error {
			if failing.Load() {
				return syscall.EIO
			}
			return nil
		}
	})
	failing.Store(true)
	done := make(chan Result, 1000)
	item := &payload{text: make([]byte, 400), done: done}
	batch := make([]Append, 1000)
	for i := range batch {
		batch[i] = Append{Key: fmt.Sprintf("app/private-orders.%d", i), Rule: standard, Item: item}
	}
	for range 420 {
		for bench.log.Append(batch) == ErrBusy {
			time.Sleep(time.Millisecond)
		}
		for range batch {
			if r := <-done; !r.Logged {
				b.Fatalf("%+v", r.Err)
			}
		}
	}
	killed := bench.snapshot()
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		if err := os.CopyFS(dir, os.DirFS(killed)); err != nil {
			b.Fatal(err)
		}
		cfg := bench.cfg
		cfg.Dir, cfg.Hooks = dir, segment.Hooks{}
		b.StartTimer()
		l, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if n := l.unsavedEvents.Load(); n != 420_000 {
			b.Fatalf("%d events", n)
		}
		l.Close()
		os.RemoveAll(dir)
		b.StartTimer()
	}
}
