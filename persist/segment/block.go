package segment

import (
	"fmt"
	"slices"
	"sync"
)

const (
	// GroupEvents is how many events a group has: group b holds seq 64b+1 … 64b+64.
	GroupEvents = 64
	// BlockBytes bounds the payload of a block of more than one event.
	BlockBytes = 64 << 10
)

// Block is a run of a channel's events within one group. It is immutable and may be
// shared by any number of goroutines; what its methods return is borrowed from it
// and must not be changed.
type Block struct {
	Key         string
	First, Last uint64 // seq

	// The payloads one after the other, so that those of events i … j are one slice.
	payload []byte
	origins []byte
	events  []blockEvent
}

type blockEvent struct {
	timeMS  int64
	total   uint64
	payload uint32 // end in Block.payload
	origin  uint16 // end in Block.origins
	flags   uint8
}

// groupOf is the number of the group that holds seq, which is not 0.
func groupOf(seq uint64) uint64 { return (seq - 1) / GroupEvents }

// Len is the number of events.
func (b *Block) Len() int { return len(b.events) }

// Has tells whether the block holds the event.
func (b *Block) Has(seq uint64) bool { return seq >= b.First && seq <= b.Last }

// Payload is that of one event; seq must be one of the block's.
func (b *Block) Payload(seq uint64) []byte { return b.Payloads(seq, seq) }

// Payloads are those of the events from … to, one after the other.
func (b *Block) Payloads(from, to uint64) []byte {
	start, end := b.start(from), b.events[to-b.First].payload
	return b.payload[start:end:end]
}

func (b *Block) start(seq uint64) uint32 {
	if seq == b.First {
		return 0
	}
	return b.events[seq-b.First-1].payload
}

// TimeMS is when the event was published.
func (b *Block) TimeMS(seq uint64) int64 { return b.events[seq-b.First].timeMS }

// Total is the channel's running total of payload bytes after the event.
func (b *Block) Total(seq uint64) uint64 { return b.events[seq-b.First].total }

// Flags are the caller's.
func (b *Block) Flags(seq uint64) uint8 { return b.events[seq-b.First].flags }

// Origin is what was stored beside the payload.
func (b *Block) Origin(seq uint64) []byte {
	start, end := uint16(0), b.events[seq-b.First].origin
	if seq != b.First {
		start = b.events[seq-b.First-1].origin
	}
	return b.origins[start:end:end]
}

// Record fills r with one event; its bytes are borrowed from the block.
func (b *Block) Record(seq uint64, r *Record) {
	*r = Record{
		Key: b.Key, Seq: seq, TimeMS: b.TimeMS(seq), Total: b.Total(seq), Flags: b.Flags(seq),
		Origin: b.Origin(seq), Payload: b.Payload(seq),
	}
}

// memory is about what the block occupies.
func (b *Block) memory() int64 {
	return int64(len(b.payload)+len(b.origins)+len(b.events)*24+len(b.Key)) + 128
}

// NewBlock makes a block of as many of the records as belong together, beginning
// with the first: up to the end of its group, and up to BlockBytes of payload. The
// records must be of one channel and follow each other without a hole. Everything
// is copied.
func NewBlock(records []Record) (*Block, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: no records", ErrNotDense)
	}
	first := &records[0]
	if first.Seq == 0 || first.Seq > MaxSeq {
		return nil, fmt.Errorf("%w: seq %d", ErrBadKey, first.Seq)
	}
	bb := builders.Get().(*blockBuilder)
	defer builders.Put(bb)
	bb.reset()
	for i := range records {
		r := &records[i]
		switch {
		case r.Key != first.Key || r.Seq != first.Seq+uint64(i):
			return nil, fmt.Errorf("%w: %q seq %d after %q seq %d", ErrNotDense, r.Key, r.Seq, first.Key, first.Seq+uint64(i)-1)
		case len(r.Origin) > MaxOriginBytes:
			return nil, fmt.Errorf("%w: origin of %d bytes", ErrTooLarge, len(r.Origin))
		}
		if !bb.fits(r) {
			break
		}
		bb.add(r)
	}
	return bb.cut(first.Key), nil
}

var builders = sync.Pool{New: func() any { return new(blockBuilder) }}

// blockBuilder gathers the events of one block. Its buffers are used again.
type blockBuilder struct {
	first, next uint64 // next = 0: empty
	payload     []byte
	origins     []byte
	events      []blockEvent
}

// fits tells whether r follows and there is room.
func (bb *blockBuilder) fits(r *Record) bool {
	return bb.next == 0 || r.Seq == bb.next && groupOf(r.Seq) == groupOf(bb.first) &&
		len(bb.payload)+len(r.Payload) <= BlockBytes
}

func (bb *blockBuilder) add(r *Record) {
	if bb.next == 0 {
		bb.first = r.Seq
	}
	bb.next = r.Seq + 1
	bb.payload = append(bb.payload, r.Payload...)
	bb.origins = append(bb.origins, r.Origin...)
	bb.events = append(bb.events, blockEvent{
		timeMS: r.TimeMS, total: r.Total, flags: r.Flags,
		payload: uint32(len(bb.payload)), origin: uint16(len(bb.origins)),
	})
}

// cut returns a block of what was added, in memory of its own size, and begins anew.
func (bb *blockBuilder) cut(key string) *Block {
	b := &Block{
		Key: key, First: bb.first, Last: bb.next - 1,
		payload: slices.Concat(bb.payload), origins: slices.Concat(bb.origins), events: slices.Concat(bb.events),
	}
	bb.reset()
	return b
}

func (bb *blockBuilder) reset() {
	if cap(bb.payload) > 4*BlockBytes {
		bb.payload = nil // one huge event does not stay
	}
	bb.next, bb.payload, bb.origins, bb.events = 0, bb.payload[:0], bb.origins[:0], bb.events[:0]
}
