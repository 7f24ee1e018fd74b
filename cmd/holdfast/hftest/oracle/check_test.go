package oracle

import (
	"fmt"
	"testing"
)

const room = "room"

// script is a world in which nothing has gone wrong yet: ten events were taken, and
// one client, settled, has got all of them.
type script struct {
	ledger *Ledger
	diary  *Diary
	data   []string // data[n]
}

func newScript() *script {
	s := &script{ledger: NewLedger(1, 20), data: []string{""}}
	s.diary = NewDiary("ann", s.ledger)
	s.diary.Connected("1.1")
	return s
}

func at(seq int) Position { return Position{"epochone", uint64(seq)} }

// publish has events from n on taken at seq n.
func (s *script) publish(from, to int) {
	for n := from; n <= to; n++ {
		s.publishAt(n, Taken, at(n))
	}
}

func (s *script) publishAt(n int, o Outcome, p Position) {
	got, data := s.ledger.Ask(room, false, "")
	if got != n {
		panic(fmt.Sprintf("event %d is number %d", n, got))
	}
	s.ledger.Answer(room, n, o, p)
	s.data = append(s.data, data)
}

// deliver notes events that come at seq n.
func (s *script) deliver(from, to int) {
	for n := from; n <= to; n++ {
		s.diary.Event(room, uint64(n), s.data[n])
	}
}

// kept is a history that holds all events from n on at seq n.
func (s *script) kept(from, to int) map[string]Kept {
	k := Kept{At: at(to), Oldest: uint64(from)}
	for n := from; n <= to; n++ {
		k.Events = append(k.Events, KeptEvent{uint64(n), s.data[n]})
	}
	return map[string]Kept{room: k}
}

// late is an event that got its place behind one that was asked for after it.
func late(s *script) map[string]Kept {
	s.diary.Joined(room, at(0))
	s.publishAt(1, Taken, at(1))
	s.publishAt(2, Open, Position{})
	s.publishAt(3, Taken, at(2))
	s.publishAt(4, Taken, at(4))
	for seq, n := range []int{1, 3, 2, 4} {
		s.diary.Event(room, uint64(seq+1), s.data[n])
	}
	k := Kept{At: at(4), Oldest: 1}
	for seq, n := range []int{1, 3, 2, 4} {
		k.Events = append(k.Events, KeptEvent{uint64(seq + 1), s.data[n]})
	}
	return map[string]Kept{room: k}
}

// Each planted fault is found, alone, and nothing is found where nothing is wrong. It is
// long because each row is a story of its own.
func TestOracle(t *testing.T) {
	anything := Policy{Gaps: []string{"epoch", "unavailable", "expired"}, Turns: true, MayLose: true}
	for name, c := range map[string]struct {
		play   func(s *script) map[string]Kept
		policy Policy
		want   Verdict // counters only
	}{
		"all is well": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 10)
			return s.kept(1, 10)
		}},
		"recovered": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 4)
			s.diary.Recovered(room, at(4))
			s.deliver(5, 10)
			return s.kept(1, 10)
		}, want: Verdict{Recoveries: 1}},
		"joined late": {play: func(s *script) map[string]Kept {
			s.publish(1, 4)
			s.diary.Joined(room, at(4))
			s.publish(5, 10)
			s.deliver(5, 10)
			return nil
		}, want: Verdict{Excused: 4}},
		"silent loss in the middle": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 4)
			s.deliver(6, 10)
			return nil
		}, want: Verdict{Silent: 1, Holes: 1}},
		"silent loss of the last": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 9)
			return nil
		}, want: Verdict{Silent: 1}},
		"silent loss of everything": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			return nil
		}, want: Verdict{Silent: 10}},
		"silent loss right after joining": {play: func(s *script) map[string]Kept {
			s.publish(1, 4)
			s.diary.Joined(room, at(4))
			s.publish(5, 10)
			s.deliver(6, 10)
			return nil
		}, want: Verdict{Silent: 1, Holes: 1, Excused: 4}},
		"silent loss in a recovery": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 4)
			s.diary.Recovered(room, at(4))
			s.deliver(8, 10)
			return nil
		}, want: Verdict{Silent: 3, Holes: 1, Recoveries: 1}},
		"silent loss of an event without seq": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Taken, at(1))
			s.publishAt(2, Taken, Position{})
			s.publishAt(3, Taken, at(2))
			s.diary.Event(room, 1, s.data[1])
			s.diary.Event(room, 2, s.data[3])
			return nil
		}, want: Verdict{Silent: 1}},
		"lost while connected, though the epoch changed": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 4)
			s.deliver(1, 4)
			s.publishAt(5, Taken, Position{})
			s.diary.Turned(room, Position{"epochtwo", 4})
			s.publishAt(6, Taken, Position{"epochtwo", 5})
			s.diary.Event(room, 5, s.data[6])
			return nil
		}, policy: anything, want: Verdict{Silent: 1, Gaps: map[string]int{"turn": 1}}},
		"lost before a change of the epoch that excuses": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 5)
			s.deliver(1, 4)
			s.diary.Turned(room, Position{"epochtwo", 3})
			s.publishAt(6, Taken, Position{"epochtwo", 4})
			s.publishAt(7, Taken, Position{"epochtwo", 5})
			s.diary.Event(room, 5, s.data[7])
			return nil
		}, policy: Policy{Turns: true, TurnsExcuse: true}, want: Verdict{Silent: 1, Holes: 1, Excused: 1, Gaps: map[string]int{"turn": 1}}},
		"told its first position": {play: func(s *script) map[string]Kept {
			s.publish(1, 2)
			s.diary.Gap(room, "unavailable", Position{})
			s.publish(3, 4)
			s.diary.Turned(room, at(4))
			s.publish(5, 6)
			s.diary.Event(room, 6, s.data[6])
			return nil
		}, policy: Policy{Gaps: []string{"unavailable"}}, want: Verdict{Silent: 1, Holes: 1, Excused: 4, Gaps: map[string]int{"unavailable": 1, "turn": 1}}},
		"late without an answer":                {play: late, policy: Policy{LateOpens: true}, want: Verdict{Late: 1}},
		"late without an answer, for no reason": {play: late, want: Verdict{Holes: 1, Disorder: 2}},
		"late with an answer": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Taken, at(2))
			s.publishAt(2, Taken, at(1))
			s.diary.Event(room, 1, s.data[2])
			s.diary.Event(room, 2, s.data[1])
			return nil
		}, policy: Policy{LateOpens: true}, want: Verdict{Disorder: 2, Silent: 1}},
		"lost with a reason": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 4)
			s.deliver(1, 2)
			s.publishAt(5, Taken, Position{})
			s.publishAt(6, Taken, Position{"epochtwo", 5})
			s.diary.Gap(room, "epoch", Position{"epochtwo", 5})
			s.publishAt(7, Taken, Position{"epochtwo", 6})
			s.diary.Event(room, 6, s.data[7])
			return nil
		}, policy: anything, want: Verdict{Excused: 4, Gaps: map[string]int{"epoch": 1}}},
		"lost behind the position of a gap": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 2)
			s.diary.Gap(room, "expired", at(7))
			s.deliver(9, 10)
			return nil
		}, policy: anything, want: Verdict{Silent: 1, Holes: 1, Excused: 5, Gaps: map[string]int{"expired": 1}}},
		"a reason that the fault does not allow": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 2)
			s.diary.Gap(room, "unavailable", at(10))
			return nil
		}, policy: Policy{Gaps: []string{"expired"}}, want: Verdict{ForbiddenGaps: 1, Excused: 8, Gaps: map[string]int{"unavailable": 1}}},
		"an epoch that may not change": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 2)
			s.deliver(1, 2)
			s.diary.Turned(room, Position{"epochtwo", 2})
			return nil
		}, want: Verdict{ForbiddenGaps: 1, Gaps: map[string]int{"turn": 1}}},
		"duplicate": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 10)
			s.diary.Event(room, 11, s.data[9])
			return nil
		}, want: Verdict{Duplicates: 1, Misplaced: 1}},
		"duplicate in a recovery": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 10)
			s.deliver(1, 6)
			s.diary.Recovered(room, at(6))
			s.deliver(6, 10)
			return nil
		}, want: Verdict{Duplicates: 1, Holes: 1, Recoveries: 1}},
		"a retry that was published twice": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 2)
			s.deliver(1, 2)
			s.diary.Event(room, 3, s.data[2])
			k := s.kept(1, 2)
			return map[string]Kept{room: {At: at(3), Oldest: 1, Events: append(k[room].Events, KeptEvent{3, s.data[2]})}}
		}, want: Verdict{Duplicates: 2, Misplaced: 2}},
		"reorder": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			for n := 1; n <= 3; n++ {
				s.publishAt(n, Taken, Position{})
			}
			for _, n := range []int{1, 3, 2} {
				s.diary.Event(room, 0, s.data[n])
			}
			return nil
		}, want: Verdict{Silent: 1, Disorder: 1}},
		"reorder in the answers": {play: func(s *script) map[string]Kept {
			s.publishAt(1, Taken, at(2))
			s.publishAt(2, Taken, at(1))
			return nil
		}, want: Verdict{Disorder: 1}},
		"a seq that nobody used": {play: func(s *script) map[string]Kept {
			s.publishAt(1, Taken, at(1))
			s.publishAt(2, Refused, Position{})
			s.publishAt(3, Taken, at(3))
			return nil
		}, want: Verdict{Holes: 1}},
		"a seq that an unanswered event may have": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Taken, at(1))
			s.publishAt(2, Open, Position{})
			s.publishAt(3, Taken, at(3))
			s.deliver(1, 3)
			return s.kept(1, 3)
		}},
		"an unanswered event that never was": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Taken, at(1))
			s.publishAt(2, Open, Position{})
			s.publishAt(3, Taken, at(2))
			s.diary.Event(room, 1, s.data[1])
			s.diary.Event(room, 2, s.data[3])
			return nil
		}},
		"refused and yet delivered": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Refused, Position{})
			s.diary.Event(room, 1, s.data[1])
			return nil
		}, want: Verdict{Invented: 1}},
		"altered": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 2)
			s.diary.Event(room, 1, s.data[1])
			s.diary.Event(room, 2, s.data[2][:len(s.data[2])-1])
			return nil
		}, want: Verdict{Invented: 1, Silent: 1}},
		"another channel's event": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			_, data := s.ledger.Ask("hall", false, "")
			s.diary.Event(room, 1, data)
			return nil
		}, want: Verdict{Invented: 1}},
		"misplaced": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Taken, at(1))
			s.publishAt(2, Taken, Position{"epochtwo", 2})
			s.deliver(1, 2)
			return nil
		}, want: Verdict{Misplaced: 1}},
		"two clients with different events at a position": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publishAt(1, Open, Position{})
			s.publishAt(2, Open, Position{})
			s.diary.Event(room, 1, s.data[1])
			s.diary.Gap(room, "expired", at(0))
			s.diary.Event(room, 1, s.data[2])
			return nil
		}, policy: anything, want: Verdict{Misplaced: 1, Gaps: map[string]int{"expired": 1}}},
		"skipped for an excluded event": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 1)
			_, data := s.ledger.Ask(room, false, "1.1")
			s.data = append(s.data, data)
			s.ledger.Answer(room, 2, Taken, at(2))
			s.publishAt(3, Taken, at(3))
			s.deliver(1, 1)
			s.diary.Skipped(room, at(2))
			s.deliver(3, 3)
			return s.kept(1, 3)
		}},
		"skipped without a position": {play: func(s *script) map[string]Kept {
			s.diary.Joined(room, at(0))
			s.publish(1, 3)
			s.deliver(1, 1)
			s.diary.Skipped(room, at(3))
			return nil
		}, want: Verdict{Holes: 1, Silent: 2}},
		"not kept": {play: func(s *script) map[string]Kept {
			s.publish(1, 3)
			return map[string]Kept{room: {At: at(3), Oldest: 1, Events: []KeptEvent{{1, s.data[1]}, {3, s.data[3]}}}}
		}, want: Verdict{NotKept: 1, Holes: 1}},
		"lost in an epoch that ended": {play: func(s *script) map[string]Kept {
			s.publish(1, 3)
			s.publishAt(4, Taken, Position{"epochtwo", 4})
			return map[string]Kept{room: {At: Position{"epochtwo", 4}, Oldest: 3, Events: []KeptEvent{{3, s.data[3]}, {4, s.data[4]}}}}
		}, policy: anything, want: Verdict{Lost: 2}},
		"lost in an epoch that ended, for no reason": {play: func(s *script) map[string]Kept {
			s.publish(1, 3)
			s.publishAt(4, Taken, Position{"epochtwo", 4})
			return map[string]Kept{room: {At: Position{"epochtwo", 4}, Oldest: 3, Events: []KeptEvent{{3, s.data[3]}, {4, s.data[4]}}}}
		}, want: Verdict{NotKept: 2}},
		"a history that may be short": {play: func(s *script) map[string]Kept {
			s.publish(1, 5)
			k := s.kept(4, 5)[room]
			k.Most = 2
			return map[string]Kept{room: k}
		}},
		"a history that is too short": {play: func(s *script) map[string]Kept {
			s.publish(1, 5)
			k := s.kept(5, 5)[room]
			k.Most = 2
			return map[string]Kept{room: k}
		}, want: Verdict{NotKept: 1, Holes: 1}},
		"a history without its head": {play: func(s *script) map[string]Kept {
			s.publish(1, 3)
			k := s.kept(1, 2)[room]
			k.At = at(3)
			return map[string]Kept{room: k}
		}, want: Verdict{NotKept: 1, Holes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript()
			kept := c.play(s)
			s.diary.Settled()
			got := Check(s.ledger, []*Diary{s.diary}, kept, c.policy)
			if c.want.Gaps == nil {
				c.want.Gaps = map[string]int{}
			}
			want := c.want
			want.Delivered, want.Faults = got.Delivered, got.Faults
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v\nwant %v", &got, &want)
			}
			bad := want.Silent+want.Duplicates+want.Disorder+want.Holes+want.Invented+want.Misplaced+want.NotKept+want.ForbiddenGaps > 0
			if got.OK() == bad || len(got.Faults) > 0 != bad {
				t.Errorf("OK is %v, faults %q", got.OK(), got.Faults)
			}
		})
	}
}

// A client that is not settled is not judged by what has not come yet.
func TestUnsettledDiary(t *testing.T) {
	s := newScript()
	s.diary.Joined(room, at(0))
	s.publish(1, 3)
	s.deliver(1, 1)
	if v := Check(s.ledger, []*Diary{s.diary}, nil, Policy{}); !v.OK() {
		t.Error(v.String())
	}
}

func TestDataIsOnesOwn(t *testing.T) {
	l := NewLedger(7, 500)
	_, one := l.Ask("a", false, "")
	_, two := l.Ask("a", true, "")
	if n, ok := l.Read("a", two); n != 2 || !ok || one == two {
		t.Errorf("event 2 is read as %d, %v", n, ok)
	}
	for _, other := range []struct{ channel, data string }{{"b", two}, {"a", two + "x"}, {"a", "2 " + one[2:]}, {"a", ""}, {"a", "-1 x "}} {
		if n, ok := l.Read(other.channel, other.data); ok {
			t.Errorf("%q of %s is read as event %d", other.data, other.channel, n)
		}
	}
	if n, ok := NewLedger(8, 500).Read("a", two); ok {
		t.Errorf("another run's event is read as %d", n)
	}
}
