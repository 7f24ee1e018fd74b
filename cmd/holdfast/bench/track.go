package bench

// track is what one subscription has received of its channel. 40 bytes, without
// pointers; owned by its loop. The zero value is a subscription that is not there.
type track struct {
	seq    uint64 // of a server that numbers events: the last one; 0 = none seen
	window uint64 // bit b: message last-1-b has come
	floor  uint32 // messages up to it were on their way when the subscription was confirmed
	last   uint32 // largest number that has come, at least floor
	after  uint32 // largest after that has come
	gaps   uint32 // messages between floor and last that have not come
	on     bool   // confirmed
}

// verdict is what a reception means.
type verdict uint8

const (
	// freshMessage: the first reception, in order.
	freshMessage verdict = iota
	// overtakenMessage: the first reception, behind one that was published at the same time. No fault.
	overtakenMessage
	// disorderedMessage: behind one that was published after this one had been answered.
	disorderedMessage
	// duplicateMessage: it had come before.
	duplicateMessage
	// earlyMessage: under way when the subscription was confirmed; may come or not.
	earlyMessage
)

// begin confirms the subscription: messages above started must come.
func (t *track) begin(started uint32) {
	*t = track{floor: started, last: started, seq: t.seq, on: true}
}

// judge takes one reception into account.
func (t *track) judge(m payload) verdict {
	v := t.place(m.number)
	if v == overtakenMessage && m.number <= t.after {
		v = disorderedMessage
	}
	t.after = max(t.after, m.after)
	return v
}

func (t *track) place(number uint32) verdict {
	switch {
	case number <= t.floor:
		return earlyMessage
	case number > t.last:
		ahead := number - t.last
		t.window = t.window<<ahead | 1<<(ahead-1) // shifts of 64 and more give 0
		t.gaps += ahead - 1
		t.last = number
		return freshMessage
	case number == t.last:
		return duplicateMessage
	}
	// Further back than the window nobody knows whether it came before: it counts
	// as out of order, and stays missing.
	back := t.last - 1 - number
	if bit := uint64(1) << back; back < 64 {
		if t.window&bit != 0 {
			return duplicateMessage
		}
		t.window |= bit
		t.gaps--
		return overtakenMessage
	}
	return disorderedMessage
}

// missing is how many messages up to number have not come.
func (t *track) missing(number uint32) uint32 {
	if !t.on {
		return 0
	}
	n := t.gaps
	if number > t.last {
		n += number - t.last
	}
	return n
}

// nextSeq checks the number that the server gave an event: gap and again say that
// events are missing before it, or that it does not go up.
func (t *track) nextSeq(seq uint64) (gap, again bool) {
	gap, again = t.seq != 0 && seq > t.seq+1, seq <= t.seq
	t.seq = max(t.seq, seq)
	return gap, again
}
