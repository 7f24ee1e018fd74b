package persist

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/persist/segment"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// channel is a resident head, with those events that are not in a segment yet.
type channel struct {
	// Immutable after construction.
	key   string
	shard *shard

	// Atomic; any goroutine. Unix milliseconds of the last use, and of the last use by
	// a reader: such a channel keeps its tail in memory.
	touched, read atomic.Int64

	// Owned by the sequencer, which changes it with shard.flight held.
	next    headState // as the last assigned event left it
	waiting int       // its events in shard.pending
	awaits  uint64    // the sync that the last of them needs
	listed  bool      // in shard.dirty
	stepped uint64    // number of the group that assigned to it last
	before  headState // next as it was before that group
	behind  bool      // in shard.broken
	// The last events that were withdrawn: those after kept, up to gone.
	kept, gone uint64

	mu sync.Mutex
	// Guarded by mu.
	seen    headState // as the last visible event left it
	broken  bool      // mirrors behind
	first   uint64    // seq of events[0]; meaningless while there are none
	events  []entry   // without holes, ascending; behind seen there may be some
	floor   uint64    // no event up to it is given out: something behind it is missing
	tail    *Block    // what was read last of the newest events, or nil
	left    bool      // evicted: whoever still has it keeps no tail in it
	last    *lastEvent
	changes uint64 // counts what a checkpoint must write beside events
	written uint64 // changes as of the last checkpoint
	saved   uint64 // events up to it are in a segment
}

// headState is where a channel stands. The zero value has no era.
type headState struct {
	era     *era
	seq     uint64
	total   uint64 // payload bytes of all events up to seq
	timeMS  int64
	life    uint32 // the life in which the epoch was proved
	durable bool   // every event that was handed out had been synced
}

// entry is one event of the index.
type entry struct {
	payload   []byte // nil: withdrawn; nobody got the event and nobody will
	origin    string
	era       *era
	total     uint64
	timeMS    int64
	class     segment.Class
	durable   bool
	withdrawn bool
}

// entryCost is what an entry takes beside its payload, journal record included.
const entryCost = 192

func (e *entry) cost() int64 { return int64(len(e.payload)) + entryCost }

// flags of segment.Record.
const recordDurable = 1

func (e *entry) record(key string, seq uint64) segment.Record {
	r := segment.Record{
		Key: key, Class: e.class, Seq: seq, TimeMS: e.timeMS, Total: e.total,
		Origin: []byte(e.origin), Payload: e.payload,
	}
	if e.durable {
		r.Flags = recordDurable
	}
	return r
}

// leave is called when the channel is evicted.
func (c *channel) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(nil)
	c.left = true
}

// addLocked appends the event behind the last assigned one. mu is held.
func (c *channel) addLocked(seq uint64, e entry) {
	if len(c.events) == 0 {
		c.first = seq
	}
	if invariant.On {
		invariant.Check(seq == c.first+uint64(len(c.events)), "the index of a channel has a hole")
	}
	c.events = append(c.events, e)
}

// endLocked is the seq behind the last event of the index. mu is held.
func (c *channel) endLocked() uint64 { return c.first + uint64(len(c.events)) }

// holdsLocked tells whether seq is in the index. mu is held.
func (c *channel) holdsLocked(seq uint64) bool {
	return len(c.events) > 0 && seq >= c.first && seq < c.endLocked()
}

// trimLocked lets go of the events up to seq, which are in a segment, and returns
// what they cost. mu is held.
func (c *channel) trimLocked(seq uint64) (cost int64, events int) {
	n := 0
	for n < len(c.events) && c.first+uint64(n) <= seq {
		cost += c.events[n].cost()
		n++
	}
	if n == 0 {
		return 0, 0
	}
	rest := copy(c.events, c.events[n:])
	clear(c.events[rest:])
	c.events = c.events[:rest]
	if rest == 0 && cap(c.events) > 64 {
		c.events = nil
	}
	c.first += uint64(n)
	return cost, n
}

// withdrawLocked makes the events after kept, up to gone, ones that never were. mu is
// held.
func (c *channel) withdrawLocked(kept, gone uint64) (cost int64) {
	for i := range c.events {
		seq := c.first + uint64(i)
		if e := &c.events[i]; seq > kept && seq <= gone && !e.withdrawn {
			cost += int64(len(e.payload))
			e.payload, e.origin, e.withdrawn = nil, "", true
		}
	}
	return cost
}

// positionLocked is what the outside may see. mu is held.
func (c *channel) positionLocked(nowMS int64) Position {
	return Position{
		Epoch: c.seen.era.epoch, Start: c.seen.era.start, Seq: c.seen.seq, Broken: c.broken,
		Cached: c.last.live(nowMS),
	}
}

func (c *channel) position(nowMS int64) Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.positionLocked(nowMS)
}

// headLocked is the head to write when every event up to state.seq is written. mu is
// held.
func (c *channel) headLocked(state headState) segment.Head {
	h := segment.Head{
		Key: c.key, Epoch: state.era.epoch, Start: state.era.start, Seq: state.seq, Total: state.total,
		TimeMS: state.timeMS, Life: state.life, Durable: state.durable,
	}
	if c.last != nil {
		h.Last, h.LastSeq, h.LastTimeMS = c.last.encode(), c.last.event.Seq, c.last.event.TimeMS
	}
	return h
}
