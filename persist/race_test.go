package persist

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Publishers, readers, loops, requests and a scraper at once, with heads that come
// and go; run with -race -tags invariants it is what finds unguarded state.
func TestEverythingAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Now = time.Now
		c.Resident = time.Second
		c.CheckpointInterval, c.SyncInterval = 50*time.Millisecond, 10*time.Millisecond
		c.JournalBytes, c.CacheBytes = 256<<10, 1<<20
		c.Logger = nil
	})
	stop := make(chan struct{})
	var work sync.WaitGroup
	run := func(n int, f func(i int)) {
		for g := range n {
			work.Add(1)
			go func() {
				defer work.Done()
				for i := g; ; i += n {
					select {
					case <-stop:
						return
					default:
						f(i)
					}
				}
			}()
		}
	}
	key := func(i int) string { return fmt.Sprintf("ch-%d", i%40) }
	var last [40]atomic.Uint64
	run(6, func(i int) {
		done := make(chan Result, 1)
		a := Append{Key: key(i), Rule: standard, Durable: i%7 == 0, Cache: time.Duration(i%3) * time.Second}
		if i%5 == 0 {
			a.IdemKey = fmt.Appendf(nil, "%d", i%50)
		}
		a.Item = &text{body: "some text", done: func(r Result) { done <- r }}
		if err := b.log.Append([]Append{a}); err != nil {
			return
		}
		r := <-done
		if r.Err != nil || !r.Duplicate && !r.Logged {
			t.Errorf("%+v", r)
			return
		}
		if p, resident := b.log.Head(a.Key); resident && p.Seq < r.Seq {
			t.Errorf("head %+v after %+v was done", p, r)
		}
		for old := last[i%40].Load(); old < r.Seq && !last[i%40].CompareAndSwap(old, r.Seq); old = last[i%40].Load() {
		}
	})
	run(3, func(i int) {
		seen := last[i%40].Load()
		p, err := b.log.Load(key(i))
		if err != nil || p.Seq < seen {
			t.Errorf("load: %+v, %v; %d was done", p, err, seen)
			return
		}
		from := p.Seq - min(p.Seq, uint64(i%200))
		now, reason := b.log.Recover(key(i), standard, p.Epoch, from, 1000)
		if reason != ReasonOK {
			t.Errorf("recover %q from %d of %+v: %q at %+v", key(i), from, p, reason, now)
			return
		}
		for at := from + 1; at <= now.Seq; {
			block := b.log.Hot(key(i), at)
			if block == nil {
				if block, err = b.log.Block(key(i), at); err != nil {
					t.Errorf("block %q %d of %+v: %v", key(i), at, now, err)
					return
				}
			}
			at = block.Last + 1
		}
	})
	run(1, func(i int) {
		b.log.Rewind(key(i), standard, i%100, 0)
		b.log.History(key(i), standard, 0, false, "", 100, func(Event) bool { return true })
		b.log.Last(key(i))
		b.log.Stats()
	})
	run(1, func(i int) {
		id := fmt.Appendf(nil, "request-%d", i)
		if err := b.log.Answer(id, [32]byte{byte(i)}, 200, id); err != nil {
			t.Error(err)
		}
		if _, _, body, ok, err := b.log.Answered(id); !ok || err != nil || string(body) != string(id) {
			t.Errorf("answer %q %v %v", body, ok, err)
		}
		time.Sleep(time.Millisecond)
	})
	time.Sleep(time.Duration(sized(1500, 60_000)) * time.Millisecond)
	close(stop)
	work.Wait()
	b.restart()
	for i := range last {
		if p := b.position(key(i)); p.Seq < last[i].Load() {
			t.Errorf("%q: head %+v after a restart, %d was done", key(i), p, last[i].Load())
		}
	}
}
