package segment

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func (d *desk) WantBlock(key string, seq, to, first, last uint64) *Block {
	d.t.Helper()
	b, err := d.Block(key, seq, to)
	if err != nil {
		d.t.Fatalf("block of %q at %d: %v", key, seq, err)
	}
	d.wantEvents(b, key, first, last)
	return b
}

func (d *desk) wantEvents(b *Block, key string, first, last uint64) {
	d.t.Helper()
	if b.Key != key || b.First != first || b.Last != last || b.Len() != int(last-first+1) {
		d.t.Fatalf("block of %q with %d … %d (%d events), want %d … %d", b.Key, b.First, b.Last, b.Len(), first, last)
	}
	var all []byte
	for seq := first; seq <= last; seq++ {
		want := d.record(key, seq, 0)
		var got Record
		b.Record(seq, &got)
		if got.Key != key || got.Seq != seq || got.TimeMS != want.TimeMS || got.Total != want.Total || got.Flags != want.Flags ||
			!bytes.Equal(got.Origin, want.Origin) || !bytes.Equal(got.Payload, want.Payload) {
			d.t.Fatalf("event %d of the block: %+v, want %+v", seq, got, want)
		}
		all = append(all, want.Payload...)
	}
	if !bytes.Equal(b.Payloads(first, last), all) {
		d.t.Fatal("payloads are not side by side")
	}
}

func TestBlocksAreCachedWhenTheyAreComplete(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 150)
	d.WantBlock("a", 1, 150, 1, 64)
	d.WantBlock("a", 64, 150, 1, 64)
	d.WantBlock("a", 65, 150, 65, 128)
	d.WantBlock("a", 129, 150, 129, 150)
	if st := d.Stats(); st.BlockLoads != 3 || st.BlockHits != 1 {
		t.Errorf("%d loads and %d hits, want 3 and 1", st.BlockLoads, st.BlockHits)
	}
	if b := d.Hot("a", 20); b == nil {
		t.Error("a complete group is not hot")
	}
	t.Log("the tail is served again up to the same event, and never hot: it would be behind")
	reads := d.Stats().Reads
	for range 10 {
		d.WantBlock("a", 140, 150, 129, 150)
	}
	if n := d.Stats().Reads - reads; n != 0 {
		t.Errorf("%d reads of the same tail", n)
	}
	if b := d.Hot("a", 150); b != nil {
		t.Error("the tail is hot")
	}
	d.Publish("a", 0, 151, 192)
	d.WantBlock("a", 129, 160, 129, 160)
	d.WantBlock("a", 129, 192, 129, 192)
	if d.Hot("a", 150) == nil {
		t.Error("the group is complete now and not hot")
	}
	t.Log("nothing beyond what the caller vouches for")
	d.Publish("a", 0, 193, 260)
	d.WantBlock("a", 200, 210, 193, 210)
	if d.Hot("a", 200) != nil {
		t.Error("a group beyond the caller's word was cached")
	}
	d.WantBlock("a", 60, 62, 1, 62)
	for name, seq := range map[string]uint64{"none": 0, "beyond": 261, "not vouched for": 211} {
		if _, err := d.Block("a", seq, 210); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Block("nobody", 1, 64); !errors.Is(err, ErrGone) {
		t.Errorf("a channel without records: %v", err)
	}
}

func TestAHoleEndsABlock(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 20)
	d.Publish("a", 0, 31, 64)
	d.WantBlock("a", 7, 64, 1, 20)
	d.WantBlock("a", 40, 64, 31, 64)
	if _, err := d.Block("a", 25, 64); !errors.Is(err, ErrGone) {
		t.Errorf("in the hole: %v", err)
	}
	if b := d.Hot("a", 7); b == nil || b.Last != 20 || d.Hot("a", 25) != nil {
		t.Error("everything up to 64 is committed, so the hole is final and the group can be hot")
	}
	t.Log("an old end that retention took is no hole")
	d.Publish("b", 0, 70, 130)
	d.WantBlock("b", 100, 130, 70, 128)
	if d.Hot("b", 100) == nil {
		t.Error("a group without its old end is not hot")
	}
}

func TestBigEventsCutAGroup(t *testing.T) {
	d := newDesk(t)
	var batch Batch
	for seq := uint64(1); seq <= 64; seq++ {
		r := d.record("a", seq, 0)
		r.Payload = bytes.Repeat([]byte{byte(seq)}, 10<<10)
		if seq == 10 {
			r.Payload = bytes.Repeat([]byte{byte(seq)}, BlockBytes+1)
		}
		batch.Records = append(batch.Records, r)
	}
	d.Put(&batch)
	for seq := uint64(1); seq <= 64; {
		b, err := d.Block("a", seq, 64)
		if err != nil || b.First != seq {
			t.Fatalf("block at %d: %+v, %v", seq, b, err)
		}
		if n := len(b.Payloads(b.First, b.Last)); n > BlockBytes && b.Len() > 1 {
			t.Errorf("block of %d events with %d bytes", b.Len(), n)
		}
		for s := b.First; s <= b.Last; s++ {
			if !bytes.Equal(b.Payload(s), batch.Records[s-1].Payload) {
				t.Fatalf("payload %d is wrong", s)
			}
		}
		seq = b.Last + 1
	}
	if n := d.Stats().BlockLoads; n != 1 {
		t.Errorf("the group was read %d times", n)
	}
}

func TestTenThousandReadersOfOneBlockReadOnce(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 64)
	reads := d.Stats().Reads
	var start, done sync.WaitGroup
	start.Add(1)
	for range 10_000 {
		done.Go(func() {
			start.Wait()
			if b, err := d.Block("a", 33, 64); err != nil || b.Last != 64 {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
	start.Done()
	done.Wait()
	if n := d.Stats().Reads - reads; n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
	t.Log("what is not there is not there for any of them")
	for range 10_000 {
		done.Go(func() {
			if _, err := d.Block("nobody", 33, 64); !errors.Is(err, ErrGone) {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if d.Hot("nobody", 33) != nil {
		t.Error("nothing is hot")
	}
}

// A mass return: clients come one after the other, faster than ristretto takes what
// it is told, each wants the last events of one of many channels, and some groups
// are as large as groups get. Every group is read once.
func TestAMassReturnReadsEachGroupOnce(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.CacheBytes = 64 << 20 })
	const channels, head = 40, 200
	var batch Batch
	for ch := range channels {
		for seq := uint64(1); seq <= head; seq++ {
			r := d.record(fmt.Sprint("ch", ch), seq, 0)
			if ch == 0 {
				r.Payload = bytes.Repeat([]byte("x"), 10<<10)
			}
			if ch == 1 && seq == 100 {
				continue // withdrawn
			}
			batch.Records = append(batch.Records, r)
		}
	}
	d.Put(&batch)
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := fmt.Sprint("ch", (client+i)%channels)
				for seq := uint64(101); seq <= head; {
					b, err := d.Block(key, seq, head)
					if err != nil {
						t.Error(err)
						return
					}
					seq = b.Last + 1
				}
			}
		})
	}
	wg.Wait()
	if n := d.Stats().Reads; n != channels*3 {
		t.Errorf("%d reads of %d groups", n, channels*3)
	}
}

func TestBlocksFromTheIndex(t *testing.T) {
	d := newDesk(t)
	var records []Record
	for seq := uint64(60); seq <= 200; seq++ {
		records = append(records, d.record("a", seq, 0))
	}
	var blocks []*Block
	for rest := records; len(rest) > 0; {
		b, err := NewBlock(rest)
		if err != nil {
			t.Fatal(err)
		}
		d.Offer(b)
		blocks = append(blocks, b)
		rest = rest[b.Len():]
	}
	d.wantEvents(blocks[0], "a", 60, 64)
	d.wantEvents(blocks[1], "a", 65, 128)
	d.wantEvents(blocks[2], "a", 129, 192)
	if len(blocks) != 4 || d.Hot("a", 60) != nil || d.Hot("a", 65) != blocks[1] || d.Hot("a", 192) != blocks[2] || d.Hot("a", 193) != nil {
		t.Error("whole groups are hot, others not")
	}
	for name, records := range map[string][]Record{
		"none":         nil,
		"hole":         {records[0], records[2]},
		"two channels": {records[0], d.record("b", 61, 0)},
		"seq 0":        {{Key: "a"}},
		"long origin":  {{Key: "a", Seq: 1, Origin: make([]byte, 49)}},
	} {
		if _, err := NewBlock(records); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	d.ForgetBlocks()
	if d.Hot("a", 65) != nil {
		t.Error("a forgotten block is hot")
	}
}

func TestTheCacheKeepsItsBound(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.CacheBytes = 1 << 20 })
	var batch Batch
	for ch := range 100 {
		for seq := uint64(1); seq <= 64; seq++ {
			r := d.record(fmt.Sprint("ch", ch), seq, 0)
			r.Payload = []byte(strings.Repeat("x", 500))
			batch.Records = append(batch.Records, r)
		}
	}
	d.Put(&batch)
	for range 3 {
		for ch := range 100 {
			b, err := d.Block(fmt.Sprint("ch", ch), 5, 64)
			if err != nil || b.Last != 64 {
				t.Fatal(err)
			}
		}
	}
	d.cache.shared.Wait()
	if n := d.Stats().CacheBytes; n <= 0 || n > 1<<20 {
		t.Errorf("%d bytes are cached, bound 1 MiB", n)
	}
}

func TestHotAllocatesNothing(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 64)
	d.WantBlock("a", 1, 64, 1, 64)
	if n := testing.AllocsPerRun(1000, func() {
		if d.Hot("a", 30) == nil || d.Hot("b", 30) != nil || d.MayHaveHead("b") {
			t.Error("wrong answer")
		}
	}); n > 0 {
		t.Errorf("Hot and MayHaveHead allocate %v times", n)
	}
}

func TestHotAfterClose(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 64)
	b := d.WantBlock("a", 1, 64, 1, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				d.Hot("a", 1)
				d.Offer(b)
			}
		})
	}
	d.Shut()
	wg.Wait()
	d.Hot("a", 1)
	if _, err := d.Block("a", 1, 63); !errors.Is(err, ErrClosed) {
		t.Errorf("Block after Close: %v", err)
	}
	d.wantEvents(b, "a", 1, 64)
}
