package oracle

import (
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// A reader that stops for a while gets everything afterwards, over the same
// connection, if its channel has history; without history it is closed with 4100.
func TestStoppedReader(t *testing.T) {
	w := NewWorld(t, hftest.Options{Config: `
[limits]
recover_events = 100000
[[history]]
match = "bare-*"
events = 0
[[history]]
match = "*"
events = 1000000
age = "1h"
bytes = "1GiB"
`}, 4000)
	began := time.Now()
	kept := []string{"kept-1", "kept-2", "kept-3", "kept-4"}
	w.Listen(Listener{Name: "steady", Channels: append(kept, "bare-1")})
	slow := w.Listen(Listener{Name: "slow", Channels: []string{"kept-1"}, Receive: 4096})
	wide := w.Listen(Listener{Name: "slow on several channels", Channels: kept, Receive: 4096})
	bare := w.Listen(Listener{Name: "slow without history", Channels: []string{"bare-1"}, Receive: 4096})
	for _, channel := range append(kept, "bare-1") {
		w.Publish(Source{Channel: channel, Pause: 12 * time.Millisecond, Batch: 4})
	}
	stop := sized(2*time.Second, 10*time.Second, 30*time.Second)
	goOn, goOnWide, goOnBare := slow.StopReading(), wide.StopReading(), bare.StopReading()
	w.Await("the reader without history is closed", func() bool { return w.Metric("holdfast_slow_consumers_total") > 0 })
	closedAfter := time.Since(began)
	goOnBare()
	w.Await("close 4100", func() bool { return bare.Closed(4100) == 1 })
	time.Sleep(time.Until(began.Add(stop)))
	behind := w.Ledger.Last("kept-1") - slow.Newest("kept-1")
	goOn()
	goOnWide()
	caughtUp := time.Now()
	w.Await("what was missed", func() bool { return slow.Newest("kept-1") >= w.Ledger.Last("kept-1")-10 })
	took := time.Since(caughtUp)
	v := w.Settle(Policy{Gaps: []string{"no position"}})
	for _, c := range []*Client{slow, wide} {
		if c.Dials() != 1 || c.Closed(4100) != 0 {
			t.Errorf("%s: %d connections, %d closes with 4100", c.l, c.Dials(), c.Closed(4100))
		}
	}
	if fell := w.Metric("holdfast_slow_consumers_caught_up_total"); fell < 2 {
		t.Error("the reader never fell behind: nothing was proved")
	}
	figures := w.Figures(v)
	figures["stopped_s"], figures["behind_events"], figures["caught_up_ms"] = stop.Seconds(), behind, took.Milliseconds()
	figures["closed_4100_after_ms"] = closedAfter.Milliseconds()
	Report(t, "stopped-reader", began, w.Seed, figures)
}
