package segment

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// filled is a store that received events over channels in batches of 8,192, as a
// checkpointer writes them.
func filled(b *testing.B, events, channels int, change ...func(*Config)) *desk {
	b.Helper()
	d := newDesk(b, append([]func(*Config){func(c *Config) { c.SegmentBytes, c.CacheBytes, c.HeadBytes = 256<<20, 64<<20, 1<<30 }}, change...)...)
	rng := rand.New(rand.NewPCG(1, 2))
	seqs := make([]uint64, channels)
	payload := []byte(strings.Repeat("p", 165))
	for done := 0; done < events; {
		var batch Batch
		touched := map[int]bool{}
		for range min(8192, events-done) {
			c := rng.IntN(channels)
			seqs[c]++
			batch.Records = append(batch.Records, Record{Key: channelName(c), Seq: seqs[c], TimeMS: d.clock.MS(), Total: seqs[c] * 165, Payload: payload})
			touched[c] = true
			done++
		}
		for c := range touched {
			batch.Heads = append(batch.Heads, Head{Key: channelName(c), Epoch: "epoch000", Seq: seqs[c], TimeMS: d.clock.MS(), Life: 1})
		}
		d.Put(&batch)
	}
	return d
}

func channelName(i int) string { return fmt.Sprintf("app-id/private-orders.%06d", i) }

// BenchmarkCommit writes 8,192 events of 165 bytes and their heads in a commit.
func BenchmarkCommit(b *testing.B) {
	for _, channels := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			const events = 8192 * 20
			for b.Loop() {
				d := filled(b, events, channels)
				st := d.Stats()
				b.ReportMetric(float64(events)/(float64(b.Elapsed().Seconds())/float64(b.N)), "events/s")
				size := int64(0)
				for _, n := range st.FileBytes {
					size += n
				}
				b.ReportMetric(float64(size)/events, "file-B/event")
				b.ReportMetric(float64(st.HeadsBytes)/float64(st.Heads), "B/head")
				d.Shut()
				os.RemoveAll(d.cfg.Dir)
			}
		})
	}
}
