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
		if err != nil {
			at++
			if !errors.Is(err, ErrGone) {
				l.readFailed("read", err)
				at = (at-2)/segment.GroupEvents*segment.GroupEvents + segment.GroupEvents + 1
			}
			first = at // what lies before a hole is not given out
			continue
		}
		at = b.Last + 1
	}
	return min(first, head+1)
}

// oldest is the first event that the rule keeps: seq + 1 of the head if that is
// none. What is kept is looked for by halves, since time and running total grow with
// seq; whether something is missing in between is not its matter.
func (l *Log) oldest(c *channel, rule Rule) uint64 {
	head := c.view()
	low := max(head.floor, head.seq-min(head.seq, uint64(max(0, rule.Events)))) + 1
	high := head.seq + 1 // the answer lies in [low, high]
	for low < high {
		middle := low + (high-low)/2
		b, err := l.block(c, middle)
		if err != nil {
			// Retention took it, and what is older; or it was withdrawn.
			low = middle + 1
			continue
		}
		if !l.keeps(rule, head.headState, b, middle) {
			low = middle + 1
			continue
		}
		// The block answers for its other events as well.
		high = middle
		for high > low && high > b.First && l.keeps(rule, head.headState, b, high-1) {
			high--
		}
		if high > b.First {
			return high
		}
	}
	return high
}

// History calls visit with up to limit kept events, ascending: those after from, or
// from the oldest when hasFrom is false. oldest is the first kept seq, pos.Seq + 1
// for none. An event is visit's to keep; false from visit ends it. With a reason
// other than ReasonOK, visit is not called. It may read the disk.
func (l *Log) History(
	key string, rule Rule, from uint64, hasFrom bool, epoch string, limit int, visit func(Event) bool,
) (pos Position, oldest uint64, reason Reason) {
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
	events, err := l.gather(c, from+1, head.seq, limit)
	switch {
	case isHole(err) && hasFrom:
		l.renew(key, head.era, holeAt(err))
		return l.positionOf(l.shardOf(key).find(key)), oldest, ReasonUnavailable
	case isHole(err):
		oldest = l.keptRun(c, rule, head.seq)
		if events, err = l.gather(c, oldest, head.seq, limit); err == nil {
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
	case epoch != head.era.epoch || from < head.era.start:
		return ReasonEpoch
	case from > head.seq:
		return ReasonAhead
	case from+1 < oldest:
		return ReasonExpired
	default:
		return ReasonOK
	}
}

// gather collects up to limit events of [from, to]. The events borrow from immutable
// blocks.
func (l *Log) gather(c *channel, from, to uint64, limit int) ([]Event, error) {
	var events []Event
	for at := from; at <= to && len(events) < limit; {
		b, err := l.block(c, at)
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, segment.ErrDamaged):
			return nil, hole(at)
		case err != nil:
			return nil, err
		}
		for ; at <= min(b.Last, to) && len(events) < limit; at++ {
			events = append(events, Event{
				Seq: at, TimeMS: b.TimeMS(at), Origin: b.Origin(at), Payload: b.Payload(at),
			})
		}
	}
	return events, nil
}
