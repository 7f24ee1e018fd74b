package persist

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

func BenchmarkDurable(b *testing.B) { publishers(b, true) }

func BenchmarkPlain(b *testing.B) { publishers(b, false) }

func BenchmarkDurableByShards(b *testing.B) {
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { publishers(b, true, func(c *Config) { c.Shards = n }) })
	}
}
