package router

import "testing"

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
