package persist

import (
	"errors"
	"fmt"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Recover answers a subscriber that has seen everything up to from in epoch. With
// ReasonOK the events in (from, position.Seq] are all there, in one run, kept by the
// rule, and their blocks have been read; at most max of them. With any other reason
// the subscriber goes on at the position that is returned, and has lost continuity.
// It may read the disk.
func (l *Log) Recover(key string, rule Rule, epoch string, from uint64, max int) (Position, Reason) {
	if l.standby.Load() {
		if rule.Events <= 0 || !rule.Replay {
			return l.lost(), ReasonOff
		}
		return l.lost(), ReasonUnavailable
	}
	c, err := l.shardOf(key).load(key)
	if err != nil {
		l.readFailed("head", err)
		return Position{}, ReasonUnavailable
	}
	var head view
	if c == nil {
		head = view{headState: l.unborn()}
	} else {
		head = c.view()
	}
	p := l.positionOf(c)
	p.Epoch, p.Start, p.Seq, p.Broken = head.era.epoch, head.era.start, head.seq, head.broken
	switch missed := head.seq - from; {
	case rule.Events <= 0 || !rule.Replay:
		return p, ReasonOff
	case head.broken:
		return p, ReasonUnavailable
	case epoch != head.era.epoch || from < head.era.start:
		return p, ReasonEpoch
	case from > head.seq:
		return p, ReasonAhead
	case from == head.seq:
		return p, ReasonOK
	case missed > uint64(rule.Events):
		return p, ReasonExpired
	case missed > uint64(max):
		return p, ReasonTooMany
	}
	first, err := l.readRun(c, from+1, head.seq)
	switch {
	case errors.Is(err, errLater):
		return p, ReasonExpired
	case isHole(err):
		l.renew(key, head.era, holeAt(err))
		return l.positionOf(l.shardOf(key).find(key)), ReasonUnavailable
	case err != nil:
		l.readFailed("read", err)
		return p, ReasonUnavailable
	case !l.keeps(rule, head.headState, first, from+1):
		return p, ReasonExpired
	}
	return p, ReasonOK
}

// view is a consistent look at a channel.
type view struct {
	headState
	broken bool
	floor  uint64
}

func (c *channel) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view{headState: c.seen, broken: c.broken, floor: c.floor}
}

// errLater: the first event of a run is not there; whoever wanted it comes too late.
var errLater = errors.New("persist: the run begins later")

// hole is the error of a run that misses the event with this seq.
type hole uint64

func (h hole) Error() string { return fmt.Sprintf("persist: the run has no seq %d", uint64(h)) }

func isHole(err error) bool { return holeAt(err) != 0 }

// holeAt is the missing seq that err speaks of; 0 if it is another error.
func holeAt(err error) uint64 {
	var h hole
	errors.As(err, &h)
	return uint64(h)
}

// readRun reads the blocks of [from, to], proving that they leave nothing out, and
// returns the first one.
func (l *Log) readRun(c *channel, from, to uint64) (first *Block, err error) {
	for at := from; at <= to; {
		b, err := l.block(c, at)
		switch {
		case errors.Is(err, ErrGone) && at == from:
			return nil, errLater
		case errors.Is(err, ErrGone), errors.Is(err, segment.ErrDamaged):
			return nil, hole(at)
		case err != nil:
			return nil, err
		}
		if first == nil {
			first = b
		}
		at = b.Last + 1
	}
	return first, nil
}

// keeps tells whether the rule keeps the event seq of block b, and so all after it,
// of a channel whose head is given.
func (l *Log) keeps(rule Rule, head headState, b *Block, seq uint64) bool {
	switch bytes := head.total - b.Total(seq) + uint64(len(b.Payload(seq))); {
	case head.seq-seq >= uint64(rule.Events):
		return false
	case l.nowMS()-b.TimeMS(seq) > rule.Age.Milliseconds():
		return false
	default:
		return bytes <= uint64(max(0, rule.Bytes))
	}
}
