package persist

import (
	"errors"
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Rewind tells where a rewind by events, or by age if that is not 0, begins: the
// events in (from, pos.Seq] are kept by the rule, are in one run, and their blocks
// have been read. They are at most what is kept; never an error. It may read the
// disk.
func (l *Log) Rewind(key string, rule Rule, events int, age time.Duration) (pos Position, from uint64) {
	if l.standby.Load() {
		return l.lost(), 0
	}
	c, err := l.shardOf(key).load(key)
	if err != nil {
		l.readFailed("head", err)
		return Position{}, 0
	}
	pos = l.positionOf(c)
	if c == nil || rule.Events <= 0 || !rule.Replay {
		return pos, pos.Seq
	}
	if age > 0 {
		rule.Age = min(rule.Age, age)
	} else {
		rule.Events = min(rule.Events, events)
	}
	return pos, l.keptRun(c, rule, pos.Seq) - 1
}

// keptRun is the first event of the longest run up to head that the rule keeps; head
// + 1 if that is none. The blocks of the run have been read.
func (l *Log) keptRun(c *channel, rule Rule, head uint64) uint64 {
	first := l.oldest(c, rule)
	for at := first; at <= head; {
		b, err := l.block(c, at)
		if err == nil {
			at = b.Last + 1
			continue
		}
		if !errors.Is(err, ErrGone) {
			l.readFailed("read", err)
		}
		at = l.next(c, at+1, head)
		first = at // a run has no hole
	}
	return min(first, head+1)
}

// oldest is the first event that the rule keeps: seq + 1 of the head if that is
// none. What is kept is looked for by halves, since time and running total grow with
// seq; events that are missing in between are stepped over.
func (l *Log) oldest(c *channel, rule Rule) uint64 {
	head := c.view()
	low := max(head.floor, head.seq-min(head.seq, uint64(max(0, rule.Events)))) + 1
	high := head.seq + 1 // events from here on are accounted for
	oldest := high
	for low < high {
		middle := low + (high-low)/2
		at := l.next(c, middle, high-1)
		if at >= high {
			high = middle // there is nothing in between
			continue
		}
		b, err := l.block(c, at)
		if err != nil || !l.keeps(rule, head.headState, b, at) {
			low = at + 1
			continue
		}
		oldest, high = at, middle
		// The block answers for its other events as well.
		for oldest > max(low, b.First) && l.keeps(rule, head.headState, b, oldest-1) {
			oldest--
		}
		high = min(high, oldest)
	}
	return oldest
}

// next is the first event in [from, to] that is there; to + 1 for none.
func (l *Log) next(c *channel, from, to uint64) uint64 {
	if from > to {
		return to + 1
	}
	onDisk := c.onDisk(from)
	found := uint64(0)
	if onDisk >= from {
		err := l.store.Read(c.key, from-1, min(onDisk, to), 1, 0, func(r *segment.Record) bool {
			found = r.Seq
			return false
		})
		if err != nil {
			l.readFailed("read", err)
		}
	}
	if found == 0 {
		found = c.nextIndexed(from)
	}
	if found == 0 || found > to {
		return to + 1
	}
	return found
}

// onDisk is the last event that has to be looked for on disk, if any from seq on is;
// 0 when the index has seq.
func (c *channel) onDisk(seq uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holdsLocked(seq) {
		return 0
	}
	return min(c.saved, c.seen.seq)
}

// nextIndexed is the first event from seq on that the index has; 0 for none.
func (c *channel) nextIndexed(seq uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := max(seq, c.first); c.holdsLocked(at) && at <= c.seen.seq; at++ {
		if !c.events[at-c.first].withdrawn {
			return at
		}
	}
	return 0
}

// History calls visit with up to limit kept events, ascending: those after from, or
// from the oldest when hasFrom is false. oldest is the first kept seq, pos.Seq + 1
// for none. An event is visit's to keep; false from visit ends it. With a reason
// other than ReasonOK, visit is not called.
//
// The present epoch comes without a hole. What is kept of earlier ones is given out
// too, and may have some; from may then be below pos.Start, as it is when history is
// read page by page. It may read the disk.
func (l *Log) History(
	key string, rule Rule, from uint64, hasFrom bool, epoch string, limit int, visit func(Event) bool,
) (pos Position, oldest uint64, reason Reason) {
	if l.standby.Load() {
		return l.lost(), 1, ReasonUnavailable
	}
	c, err := l.shardOf(key).load(key)
	if err != nil {
		l.readFailed("head", err)
		return Position{}, 0, ReasonUnavailable
	}
	if c == nil {
		pos = l.positionOf(nil)
		return pos, 1, l.judgeFrom(view{headState: l.unborn()}, rule, from, hasFrom, epoch, 1)
	}
	head := c.view()
	pos = l.positionOf(c)
	pos.Epoch, pos.Start, pos.Seq = head.era.epoch, head.era.start, head.seq
	if rule.Events <= 0 {
		return pos, head.seq + 1, ReasonOff
	}
	oldest = l.oldest(c, rule)
	if reason := l.judgeFrom(head, rule, from, hasFrom, epoch, oldest); reason != ReasonOK {
		return pos, oldest, reason
	}
	if !hasFrom {
		from = oldest - 1
	}
	events, err := l.gather(c, from+1, head, limit)
	switch {
	case isHole(err) && hasFrom:
		l.renew(key, head.era, holeAt(err))
		return l.positionOf(l.shardOf(key).find(key)), oldest, ReasonUnavailable
	case isHole(err):
		oldest = l.keptRun(c, rule, head.seq)
		if events, err = l.gather(c, oldest, head, limit); err == nil {
			break
		}
		fallthrough
	case err != nil:
		l.readFailed("read", err)
		return pos, oldest, ReasonUnavailable
	}
	for _, e := range events {
		if !visit(e) {
			break
		}
	}
	return pos, oldest, ReasonOK
}

// judgeFrom tells whether history can be had after from.
func (l *Log) judgeFrom(head view, rule Rule, from uint64, hasFrom bool, epoch string, oldest uint64) Reason {
	switch {
	case rule.Events <= 0:
		return ReasonOff
	case !hasFrom:
		return ReasonOK
	case head.broken:
		return ReasonUnavailable
	case epoch != head.era.epoch:
		return ReasonEpoch
	case from > head.seq:
		return ReasonAhead
	case from+1 < oldest:
		return ReasonExpired
	default:
		return ReasonOK
	}
}

// gather collects up to limit events from from on. They borrow from immutable blocks.
func (l *Log) gather(c *channel, from uint64, head view, limit int) ([]Event, error) {
	var events []Event
	for at := from; at <= head.seq && len(events) < limit; {
		b, err := l.block(c, at)
		switch {
		case err == nil:
		case !errors.Is(err, ErrGone) && !errors.Is(err, segment.ErrDamaged):
			return nil, err
		case at > head.era.start:
			return nil, hole(at)
		default:
			at = l.next(c, at+1, head.seq)
			continue
		}
		for ; at <= min(b.Last, head.seq) && len(events) < limit; at++ {
			events = append(events, Event{
				Seq: at, TimeMS: b.TimeMS(at), Origin: b.Origin(at), Payload: b.Payload(at),
			})
		}
	}
	return events, nil
}
