package segment

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

const benchPayload = 165 // bytes; a frame of the design's measurements

func channelName(i int) string { return fmt.Sprintf("app-id/private-orders.%06d", i) }

func channelNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = channelName(i)
	}
	return names
}

// load publishes events over random channels in batches of 8,192, as a checkpointer
// writes them.
type load struct {
	rng  *rand.Rand
	seqs []uint64
}

func newLoad(channels int) *load {
	return &load{rng: rand.New(rand.NewPCG(1, 2)), seqs: make([]uint64, channels)}
}

func (l *load) batch(events int, now int64) *Batch {
	var b Batch
	payload := []byte(strings.Repeat("p", benchPayload))
	touched := map[int]bool{}
	for range events {
		c := l.rng.IntN(len(l.seqs))
		l.seqs[c]++
		b.Records = append(b.Records, Record{Key: channelName(c), Seq: l.seqs[c], TimeMS: now, Total: l.seqs[c] * benchPayload, Payload: payload})
		touched[c] = true
	}
	for c := range touched {
		b.Heads = append(b.Heads, Head{Key: channelName(c), Epoch: "epoch000", Seq: l.seqs[c], TimeMS: now, Life: 1})
	}
	return &b
}

func benchConfig(c *Config) { c.SegmentBytes, c.CacheBytes, c.HeadBytes = 256<<20, 64<<20, 1<<30 }

// BenchmarkCommit writes 8,192 events and the heads of their channels.
func BenchmarkCommit(b *testing.B) {
	for _, channels := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			d := newDesk(b, benchConfig)
			l := newLoad(channels)
			for range 10 {
				d.Put(l.batch(8192, d.clock.MS()))
			}
			n := 0
			for b.Loop() {
				b.StopTimer()
				batch := l.batch(8192, d.clock.MS())
				b.StartTimer()
				d.Put(batch)
				n += 8192
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRawBoltBatch is what bbolt does by itself with what BenchmarkCommit
// writes at the size of a journal group: 512 events over 1,000 channels in a
// transaction, synced. It is what the journal is measured against.
func BenchmarkRawBoltBatch(b *testing.B) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	l := newLoad(1000)
	n := 0
	for b.Loop() {
		batch := l.batch(512, 1)
		err := db.Update(func(tx *bbolt.Tx) error {
			records, err := tx.CreateBucketIfNotExists(bucketRecords)
			if err != nil {
				return err
			}
			for i := range batch.Records {
				r := &batch.Records[i]
				k := appendRecordKey(nil, r.Key, r.Seq)
				if err := records.Put(k, appendRecordValue(nil, k, r)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		n += 512
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// million is a store of 1,000,000 events over 1,000 channels, in several files.
func million(b *testing.B) (*desk, []uint64) {
	b.Helper()
	d := newDesk(b, benchConfig, func(c *Config) { c.SegmentBytes = 64 << 20 })
	l := newLoad(1000)
	for done := 0; done < 1_000_000; done += 8192 {
		d.Put(l.batch(min(8192, 1_000_000-done), d.clock.MS()))
	}
	return d, l.seqs
}

// BenchmarkReplayCold reads the last 100 events of a channel of 1,000,000 events
// from the files, which are in the page cache.
func BenchmarkReplayCold(b *testing.B) {
	d, heads := million(b)
	names := channelNames(len(heads))
	rng := rand.New(rand.NewPCG(5, 5))
	b.ReportAllocs()
	for b.Loop() {
		c := rng.IntN(len(heads))
		n := 0
		err := d.Read(names[c], heads[c]-100, heads[c], 0, 0, func(*Record) bool { n++; return true })
		if err != nil || n != 100 {
			b.Fatalf("%d events, %v", n, err)
		}
	}
}

// BenchmarkReplayHot takes the same from cached blocks.
func BenchmarkReplayHot(b *testing.B) {
	d, heads := million(b)
	for c := range heads {
		for seq := heads[c] - 200; seq <= heads[c]; seq += GroupEvents {
			if _, err := d.Block(channelName(c), seq, heads[c]); err != nil {
				b.Fatal(err)
			}
		}
	}
	d.cache.shared.Wait()
	rng := rand.New(rand.NewPCG(5, 5))
	names := channelNames(len(heads))
	missed, sum := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		c := rng.IntN(len(heads))
		to := heads[c] / GroupEvents * GroupEvents // the last complete group; the tail is in the caller's index
		for seq := to - 99; seq <= to; {
			block := d.Hot(names[c], seq)
			if block == nil {
				missed++
				break
			}
			sum += len(block.Payloads(seq, block.Last))
			seq = block.Last + 1
		}
	}
	b.ReportMetric(float64(missed)/float64(b.N), "missed/op")
	if sum == 0 {
		b.Fatal("nothing was hot")
	}
}

// BenchmarkReopen opens a store of 1,000,000 events and 100,000 heads after a crash:
// heads.db and the files that took records are walked whole.
func BenchmarkReopen(b *testing.B) {
	d := newDesk(b, benchConfig)
	l := newLoad(100_000)
	for range 122 {
		d.Put(l.batch(8192, d.clock.MS()))
	}
	for b.Loop() {
		b.StopTimer()
		d.Crash()
		for _, name := range d.Segments() { // without its footer again
			unseal(b, filepath.Join(d.cfg.Dir, name))
		}
		b.StartTimer()
		d.Open()
	}
	b.ReportMetric(float64(d.Stats().FileBytes[0])/1e6, "MB")
}

// unseal removes the footer of a file.
func unseal(b *testing.B, path string) {
	b.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(footerName) }); err != nil {
		b.Fatal(err)
	}
}
