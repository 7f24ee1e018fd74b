//go:build !invariants

// The checks of an invariants build allocate; budgets hold without them.

package router

import "testing"

func TestAWalkAllocatesNothingPerMember(t *testing.T) {
	walk := func(members int) float64 {
		e := newEdge(t, 1)
		crowd(e, members, "news")
		l := e.loops[0]
		l.quiet = true
		n := testing.AllocsPerRun(50, func() {
			e.publishNow(&Event{Name: "e", Data: "x", Channels: []string{"news"}})
			e.pump()
		})
		if l.count != 51*members {
			t.Fatalf("%d deliveries to %d members, want %d", l.count, members, 51*members)
		}
		return n
	}
	few, many := walk(50), walk(3000)
	if many > few+0.5 {
		t.Fatalf("a publish to 3,000 members allocates %v times, to 50 %v times", many, few)
	}
}

func BenchmarkWalk(b *testing.B) {
	e := newEdge(b, 1)
	crowd(e, 4000, "news")
	l := e.loops[0]
	l.quiet = true
	ev := &Event{Name: "e", Data: "x", Channels: []string{"news"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.r.Publish(e.app, ev); err != nil {
			b.Fatal(err)
		}
		e.pump()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(l.count), "ns/member")
}
