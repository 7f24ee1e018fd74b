package bench

import "iter"

// tracked are the subscriptions of connection i that are on, with their channels.
func (l *loop) tracked(i uint32) iter.Seq2[*track, int] {
	return func(yield func(*track, int) bool) {
		for slot := range l.slots {
			t := l.track(i, slot)
			if !t.on {
				continue
			}
			channel, _ := l.plan.channel(l.share.from+int(i), slot)
			if !yield(t, channel) {
				return
			}
		}
	}
}

// settle closes the books of a connection that ends before the run does: what it
// has a gap of is lost, and of one that left, what it had waited for.
func (l *loop) settle(i uint32) {
	c := l.conns.At(i)
	for t, channel := range l.tracked(i) {
		l.account(t, channel, max(t.last, c.mark))
		*t = track{}
	}
}

// settleAll closes the books of all. A run that was stopped has events under way,
// so only what later events have overtaken is lost.
func (l *loop) settleAll(stopped bool) {
	l.tally.Connected = int64(l.connected)
	for i := range uint32(l.share.len()) {
		for t, channel := range l.tracked(i) {
			upTo := t.last
			if !stopped {
				upTo = max(upTo, l.board.startedOn(channel))
			}
			l.account(t, channel, upTo)
		}
	}
}

// account counts what was expected up to a number. Events whose publish failed may
// be missing.
func (l *loop) account(t *track, channel int, upTo uint32) {
	expected, missing := int64(upTo-t.floor), int64(t.missing(upTo))
	if missing > 0 {
		excused := min(missing, int64(l.board.failedOn(channel, t.floor, upTo)))
		missing -= excused
		expected -= excused
	}
	l.tally.Expected += expected
	l.tally.Lost += missing
}

// drained says whether every subscription has all that was published.
func (l *loop) drained() bool {
	for i := range uint32(l.share.len()) {
		for t, channel := range l.tracked(i) {
			upTo := l.board.startedOn(channel)
			if missing := t.missing(upTo); missing > 0 && missing > l.board.failedOn(channel, t.floor, upTo) {
				return false
			}
		}
	}
	return true
}
