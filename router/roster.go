package router

import "github.com/holdfast-edge/holdfast/frame"

// roster is one thing for a list of connections of one loop: a message, or the
// end. It is worked off in pieces like a walk.
type roster struct {
	conns  []uint64           // packed references; those that have ended are passed over
	text   []byte             // a message; nil = close them
	reason *frame.CloseReason // with text nil
}

// postRosters hands the set's connections to their loops.
func (r *Router) postRosters(set *connSet, text []byte, reason *frame.CloseReason) {
	for loop, conns := range set.byLoop(r.loops.Count()) {
		if len(conns) > 0 {
			r.loops.MustPost(loop, opRoster, 0, &roster{conns: conns, text: text, reason: reason})
		}
	}
}

// closing ends all connections of an application on one loop, or all of the loop.
type closing struct {
	app    *App // nil = every application
	reason frame.CloseReason

	started bool
	next    uint32 // slot + 1 of the next session to look at; 0 = past the last
}

// workSide goes on with rosters and mass closes, for a share of the budget.
func (s *Shard) workSide(b *budget) {
	left := sideShare
	for left > 0 && len(s.rosters) > 0 {
		n := s.workRoster(s.rosters[0], left)
		left -= n
		b.spend(n)
	}
	if len(s.pulls) > 0 {
		b.spend(s.workPulls(s.r.clock() + int64(pullSlice)))
	}
	for left > 0 && len(s.closings) > 0 {
		n := s.workClosing(s.closings[0], left)
		left -= n
		b.spend(n)
	}
}

// workRoster handles up to most connections of the first roster and drops it when
// it is done. It returns how many it looked at, at least 1.
func (s *Shard) workRoster(ro *roster, most int) int {
	n := min(most, len(ro.conns))
	for _, packed := range ro.conns[:n] {
		ref := unpackRef(packed)
		if !s.sessions.is(ref) {
			continue
		}
		x := s.sessions.at(ref.slot)
		if ro.text == nil {
			s.closeWith(ref.slot, x, *ro.reason)
			continue
		}
		s.text = append(s.text[:0], ro.text...)
		s.send(ref.slot, x)
	}
	ro.conns = ro.conns[n:]
	if len(ro.conns) == 0 {
		s.rosters[0] = nil
		s.rosters = s.rosters[1:]
	}
	return max(n, 1)
}

// workClosing is workRoster for the first mass close.
func (s *Shard) workClosing(c *closing, most int) int {
	if !c.started {
		c.started, c.next = true, s.sessions.first
	}
	n := 0
	for ; n < most && c.next != 0; n++ {
		slot := c.next - 1
		x := s.sessions.at(slot)
		c.next = x.next
		if c.app == nil || (x.flags&flagServed != 0 && s.appOf(x) == c.app) {
			s.closeWith(slot, x, c.reason)
		}
	}
	if c.next == 0 {
		s.closings[0] = nil
		s.closings = s.closings[1:]
	}
	return max(n, 1)
}

// passClosings keeps the mass closes valid while a session leaves the list.
func (s *Shard) passClosings(slot uint32, x *session) {
	for _, c := range s.closings {
		if c.started && c.next == slot+1 {
			c.next = x.next
		}
	}
}
