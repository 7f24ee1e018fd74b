package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Policy is what a fault excuses.
type Policy struct {
	// Gaps are the reasons with which continuity may end.
	Gaps []string
	// Turns: epochs may change under a connected subscriber.
	Turns bool
	// MayLose: what was taken may be gone from the log, if no position in the
	// channel's present epoch counts it.
	MayLose bool
	// TurnsExcuse: what was asked for before a subscriber was told that the epoch
	// changed, and had its place in another one, may be missing there.
	TurnsExcuse bool
	// LateOpens: an event that was not answered may have got its place behind later
	// ones: who was asked stood still, and went on.
	LateOpens bool
}

// Kept is what the server's history of a channel holds at the end, read to its head.
type Kept struct {
	At     Position
	Oldest uint64
	Events []KeptEvent
	// Most is how many events the channel's rule keeps; 0 = all.
	Most int
}

// KeptEvent is one event of a history.
type KeptEvent struct {
	Seq  uint64
	Data string
}

// Verdict is what Check found. The counters down to Gaps must be zero; Faults says
// the first of them in words.
type Verdict struct {
	Silent, Duplicates, Disorder, Holes, Invented, Misplaced, NotKept int

	// ForbiddenGaps are those whose reason the policy does not have.
	ForbiddenGaps int
	Gaps          map[string]int // explicit ones, by reason; "turn" is an epoch that changed under a subscriber

	Delivered  int // events at clients
	Recoveries int
	Excused    int // events missing at a client that was told so
	Lost       int // events that the log lost and the policy lets it lose
	Late       int // unanswered events that came to a client behind later ones

	Faults []string
}

// OK tells whether nothing that must not be was found.
func (v *Verdict) OK() bool {
	return v.Silent+v.Duplicates+v.Disorder+v.Holes+v.Invented+v.Misplaced+v.NotKept+v.ForbiddenGaps == 0
}

// String is the verdict in one line, and its first faults.
func (v *Verdict) String() string {
	return fmt.Sprintf("silent %d, duplicate %d, disorder %d, hole %d, invented %d, misplaced %d, not kept %d, forbidden gap %d (gaps %v)\n%s",
		v.Silent, v.Duplicates, v.Disorder, v.Holes, v.Invented, v.Misplaced, v.NotKept, v.ForbiddenGaps, v.Gaps, strings.Join(v.Faults, "\n"))
}

const mostFaults = 20

func (v *Verdict) fault(counter *int, format string, args ...any) {
	*counter++
	if len(v.Faults) < mostFaults {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// checker is one run of Check. It has the ledger to itself.
type checker struct {
	v      Verdict
	policy Policy
	ledger *Ledger
	placed map[string]map[Position]int // by channel: which event stands at a position
}

// Check holds diaries and histories against the ledger. Nothing may be published
// meanwhile. kept may be nil.
func Check(l *Ledger, diaries []*Diary, kept map[string]Kept, p Policy) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &checker{policy: p, ledger: l, placed: map[string]map[Position]int{}}
	c.v.Gaps = map[string]int{}
	for _, channel := range slices.Sorted(maps.Keys(l.pages)) {
		c.placed[channel] = map[Position]int{}
		c.answers(channel, l.pages[channel].entries)
	}
	for _, d := range diaries {
		d.mu.Lock()
		for _, channel := range slices.Sorted(maps.Keys(d.pages)) {
			c.page(d, channel)
		}
		d.mu.Unlock()
	}
	for _, channel := range slices.Sorted(maps.Keys(kept)) {
		c.history(channel, kept[channel])
	}
	return c.v
}

func (c *checker) entries(channel string) []entry {
	if p := c.ledger.pages[channel]; p != nil {
		return p.entries
	}
	return nil
}

// asked is the moment on the ledger's clock at which an event was asked for.
func (c *checker) asked(channel string, n int) int64 { return c.entries(channel)[n-1].asked }

// place enters an event at its position; an event has one, and a position one event.
func (c *checker) place(who, channel string, at Position, n int) {
	placed := c.placed[channel]
	if placed == nil {
		return // of a channel that nobody published to: it is invented anyhow
	}
	if other, ok := placed[at]; ok && other != n {
		c.v.fault(&c.v.Misplaced, "%s: %s at %s is event %d (asked for at %d), and event %d (at %d) elsewhere",
			who, channel, at, n, c.asked(channel, n), other, c.asked(channel, other))
	}
	placed[at] = n
}

// answers checks what the API said about a channel by itself: inside an epoch the
// numbers go up, and jump only over what may have been published.
func (c *checker) answers(channel string, entries []entry) {
	var last Position
	open := 0 // events without an answer that may have a place from here on
	for i := range entries {
		e := &entries[i]
		switch {
		case e.outcome == Open:
			open++
		case e.outcome == Taken && e.at.Epoch != "":
			c.place("the API", channel, e.at, i+1)
			holes := uint64(0)
			if e.at.Epoch == last.Epoch && e.at.Seq <= last.Seq {
				c.v.fault(&c.v.Disorder, "the API: %s: event %d is at %s, behind %s", channel, i+1, e.at, last)
			} else if e.at.Epoch == last.Epoch {
				holes = e.at.Seq - last.Seq - 1
			}
			if holes > uint64(open) {
				c.v.fault(&c.v.Holes, "the API: %s: from %s to %s at event %d: %d seqs, %d events may have one", channel, last, e.at, i+1, holes, open)
			}
			if last = e.at; c.policy.LateOpens {
				open -= int(min(holes, uint64(open)))
			} else {
				open = 0
			}
		}
	}
}

// reader follows one client through one channel.
type reader struct {
	*checker
	who     string
	channel string
	entries []entry
	sockets map[string]bool

	at    Position // where it stands
	last  int      // newest event that it got
	got   map[int]bool
	marks []note // joined and gaps since then
	told  []note // all that was noted since then
}

func (c *checker) page(d *Diary, channel string) {
	r := &reader{checker: c, who: d.Name, channel: channel, entries: c.entries(channel), sockets: d.sockets, got: map[int]bool{}}
	for _, n := range d.pages[channel] {
		r.note(n)
	}
	if d.settled {
		r.missing(len(r.entries) + 1)
	}
}

func (r *reader) note(n note) {
	v := &r.v
	if n.kind != noteEvent {
		r.told = append(r.told, n)
	}
	switch n.kind {
	case noteJoined:
		r.at = n.at
		r.marks = append(r.marks, n)
	case noteGap:
		v.Gaps[n.reason]++
		if !slices.Contains(r.policy.Gaps, n.reason) {
			v.fault(&v.ForbiddenGaps, "%s: %s: gap %q at %s (on the clock at %d), it stood at %s", r.who, r.channel, n.reason, n.at, n.stamp, r.at)
		}
		r.at = n.at
		r.marks = append(r.marks, n)
	case noteTurned:
		// Told while connected: nothing that was taken may be missing because of it.
		v.Gaps["turn"]++
		if !r.policy.Turns && r.at.Epoch != "" {
			v.fault(&v.ForbiddenGaps, "%s: %s: the epoch changed to %s, it stood at %s", r.who, r.channel, n.at, r.at)
		}
		// Who had no position is told its first one: it joins there.
		if r.policy.TurnsExcuse || r.at.Epoch == "" {
			r.marks = append(r.marks, n)
		}
		r.at = n.at
	case noteRecovered:
		v.Recoveries++
		if n.at != r.at {
			v.fault(&v.Misplaced, "%s: %s: recovered from %s, it stood at %s", r.who, r.channel, n.at, r.at)
		}
		r.at = n.at
	case noteSkipped:
		if r.at.Epoch != "" && (n.at.Epoch != r.at.Epoch || n.at.Seq != r.at.Seq+1) {
			v.fault(&v.Holes, "%s: %s: position %s follows %s", r.who, r.channel, n.at, r.at)
		}
		r.at = n.at
	case noteEvent:
		r.event(n)
	}
}

func (r *reader) event(e note) {
	v := &r.v
	v.Delivered++
	n, ok := r.ledger.Read(r.channel, e.data)
	switch {
	case !ok || n > len(r.entries):
		v.fault(&v.Invented, "%s: %s: seq %d is %.80q, which nobody published", r.who, r.channel, e.seq, e.data)
		return
	case r.entries[n-1].outcome == Refused:
		v.fault(&v.Invented, "%s: %s: event %d (seq %d) was refused", r.who, r.channel, n, e.seq)
	}
	if e.seq != 0 {
		r.numbered(e.seq, n)
	}
	switch {
	case n > r.last:
		r.missing(n)
		r.last, r.marks, r.told = n, nil, nil
	case r.got[n]:
		v.fault(&v.Duplicates, "%s: %s: event %d (seq %d) came again after %d", r.who, r.channel, n, e.seq, r.last)
	case r.late(r.channel, n):
		v.Late++
	default:
		v.fault(&v.Disorder, "%s: %s: event %d (seq %d) came after %d", r.who, r.channel, n, e.seq, r.last)
	}
	r.got[n] = true
}

// late: the event had no answer, and may have got its place late.
func (c *checker) late(channel string, n int) bool {
	return c.policy.LateOpens && c.entries(channel)[n-1].outcome == Open
}

// numbered moves the client to the event's position.
func (r *reader) numbered(seq uint64, n int) {
	if r.at.Epoch != "" && seq != r.at.Seq+1 {
		r.v.fault(&r.v.Holes, "%s: %s: event %d has seq %d, and follows %s", r.who, r.channel, n, seq, r.at)
	}
	r.at.Seq = seq
	if r.at.Epoch == "" {
		return
	}
	r.place(r.who, r.channel, r.at, n)
	if e := &r.entries[n-1]; e.outcome == Taken && e.at.Epoch != "" && e.at != r.at {
		r.v.fault(&r.v.Misplaced, "%s: %s: event %d came at %s, the API says %s", r.who, r.channel, n, r.at, e.at)
	}
}

// missing judges the events between the newest one that the client got and n.
func (r *reader) missing(n int) {
	for m := r.last + 1; m < n; m++ {
		e := &r.entries[m-1]
		switch {
		case e.outcome != Taken || e.except != "" && r.sockets[e.except]:
		case r.excused(e):
			r.v.Excused++
		default:
			r.v.fault(&r.v.Silent, "%s: %s: event %d (%s, asked for at %d) is missing: last was %d, now %d, at %s; told in between: %s",
				r.who, r.channel, m, e.at, e.asked, r.last, n, r.at, r.told)
		}
	}
}

// excused: the client was told, when it joined or came back, of a position that is
// not before the event.
func (r *reader) excused(e *entry) bool {
	for _, m := range r.marks {
		if e.at.Epoch != "" && e.at.Epoch == m.at.Epoch {
			if e.at.Seq <= m.at.Seq {
				return true
			}
		} else if e.asked < m.stamp {
			return true
		}
	}
	return false
}

// history checks that the log has what it took.
func (c *checker) history(channel string, k Kept) {
	v, entries := &c.v, c.entries(channel)
	seqs := make(map[int]uint64, len(k.Events))
	lastSeq, lastN := uint64(0), 0
	for _, e := range k.Events {
		n, ok := c.ledger.Read(channel, e.Data)
		switch {
		case !ok || n > len(entries):
			v.fault(&v.Invented, "history: %s: seq %d is %.80q, which nobody published", channel, e.Seq, e.Data)
			continue
		case entries[n-1].outcome == Refused:
			v.fault(&v.Invented, "history: %s: event %d (seq %d) was refused", channel, n, e.Seq)
		case seqs[n] != 0:
			v.fault(&v.Duplicates, "history: %s: event %d is at %d and %d", channel, n, seqs[n], e.Seq)
		case e.Seq <= lastSeq || n <= lastN && !c.late(channel, n):
			v.fault(&v.Disorder, "history: %s: event %d at %d follows %d at %d", channel, n, e.Seq, lastN, lastSeq)
		}
		seqs[n], lastSeq, lastN = e.Seq, e.Seq, max(n, lastN)
	}
	first := k.At.Seq + 1 // first seq that is known to be of the present epoch
	for i := range entries {
		e := &entries[i]
		if e.outcome != Taken || e.at.Epoch == "" {
			continue
		}
		present := e.at.Epoch == k.At.Epoch
		if present {
			first = min(first, e.at.Seq)
		}
		switch seq := seqs[i+1]; {
		case seq == e.at.Seq, k.Most > 0 && present && k.At.Seq-e.at.Seq >= uint64(k.Most):
		case seq != 0:
			v.fault(&v.Misplaced, "history: %s: event %d is at %d, the API said %s", channel, i+1, seq, e.at)
		case c.policy.MayLose && (!present || e.at.Seq < k.Oldest):
			v.Lost++
		default:
			v.fault(&v.NotKept, "history: %s: event %d (%s, durable %v, asked for at %d) is gone; head %s, oldest %d", channel, i+1, e.at, e.durable, e.asked, k.At, k.Oldest)
		}
	}
	c.dense(channel, k, first)
}

// dense checks that the present epoch has no hole from seq first on.
func (c *checker) dense(channel string, k Kept, first uint64) {
	next := max(first, k.Oldest)
	if most := uint64(k.Most); most > 0 && k.At.Seq > most {
		next = max(first, k.At.Seq-most+1)
	}
	for _, e := range k.Events {
		if e.Seq < next {
			continue
		}
		if e.Seq > next {
			c.v.fault(&c.v.Holes, "history: %s: %d to %d are missing in %s", channel, next, e.Seq-1, k.At.Epoch)
		}
		next = e.Seq + 1
	}
	if next <= k.At.Seq {
		c.v.fault(&c.v.Holes, "history: %s: %d to %d are missing, the head is %s", channel, next, k.At.Seq, k.At)
	}
}
