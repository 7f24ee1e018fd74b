package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

func TestMain(m *testing.M) { os.Exit(hftest.Main(m)) }

// readyBar is how soon a killed server must serve again.
const readyBar = 2 * time.Second

// A server that is killed at any moment while durable events are published has
// lost nothing and invented nothing; a request whose answer was lost, sent again with
// its key, is published once.
func TestKillDurable(t *testing.T) {
	w := NewWorld(t, hftest.Options{Config: Keep}, 600)
	began := time.Now()
	channels := []string{"orders-1", "orders-2", "private-orders-3", "orders-4"}
	for i := range 3 {
		w.Listen(Listener{Name: fmt.Sprint("client ", i), Channels: channels})
	}
	w.Listen(Listener{Name: "stream", Door: EventStream, Channels: []string{channels[0], channels[1]}})
	w.Listen(Listener{Name: "poll", Door: Poll, Channels: []string{channels[0], channels[1]}})
	w.PublishThrough(newProxy(t, w.Edge.Addr, func() bool { return rand.IntN(20) == 0 }).addr())
	for i, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: true, Keyed: i > 0, Pause: 2 * time.Millisecond, Batch: 4})
	}
	k := &killer{w: w}
	for range sized(2, 20, 200) {
		k.round(func() {})
	}
	k.end(t, "kill-durable", began)
	if there := w.answersLost(); there == 0 && !raceEnabled {
		t.Error("no published event's answer was lost: nothing was proved of retries")
	}
}

// The same holds for plain events, of which the page cache keeps what was handed
// out, and for a client that was away meanwhile.
func TestKillPlain(t *testing.T) {
	w := NewWorld(t, hftest.Options{Config: Keep}, 600)
	began := time.Now()
	channels := []string{"news-1", "news-2", "private-news-3", "news-4"}
	var clients []*Client
	for i := range 3 {
		clients = append(clients, w.Listen(Listener{Name: fmt.Sprint("client ", i), Channels: channels}))
	}
	away := w.Listen(Listener{Name: "away", Channels: channels})
	w.Listen(Listener{Name: "stream", Door: EventStream, Channels: []string{channels[0], channels[1]}})
	w.Listen(Listener{Name: "poll", Door: Poll, Channels: []string{channels[0], channels[1]}})
	for i, channel := range channels {
		w.Publish(Source{Channel: channel, Keyed: i == 0, Pause: 2 * time.Millisecond, Batch: 4, Except: clients[:i%2]})
	}
	k := &killer{w: w}
	for range sized(2, 20, 200) {
		away.Leave()
		k.round(away.Return)
	}
	k.end(t, "kill-plain", began)
}

// killer kills a server again and again and sees what is there afterwards.
type killer struct {
	w     *World
	ready []time.Duration
	slow  int // starts that took longer than readyBar
	early int // kills while the server started
}

// round lets the server serve for a while, kills it, starts it, and looks at its
// history. back is called when it serves again.
func (k *killer) round(back func()) {
	w := k.w
	w.t.Helper()
	k.moment()
	w.Edge.Kill()
	checkDir(w.t, w.Edge)
	answered := w.answeredSoFar()
	if w.Rand.IntN(5) == 0 {
		w.Edge.Launch() // it dies while it starts
		time.Sleep(time.Duration(w.Rand.IntN(60)) * time.Millisecond)
		w.Edge.Kill()
		k.early++
	}
	took := w.Start()
	if took > readyBar {
		// The machine may have been busy with something else: once more.
		k.slow++
		w.t.Logf("ready after %s, limit %s: once more", took, readyBar)
		w.Edge.Kill()
		if took = w.Start(); took > readyBar {
			w.t.Errorf("ready after %s, limit %s, twice", took, readyBar)
		}
	}
	k.ready = append(k.ready, took)
	back()
	if changed := w.SameEpochs(); len(changed) > 0 {
		w.t.Errorf("epochs changed: %v", changed)
	}
	w.checkReplayable(answered)
}

// moment waits for the moment to kill: some time, chosen by chance, and now and then
// the moment at which a client has an event whose publisher may not have its answer.
func (k *killer) moment() {
	w := k.w
	time.Sleep(time.Duration(w.Rand.IntN(200)) * time.Millisecond)
	if w.Rand.IntN(2) == 0 {
		return
	}
	channel := w.channels()[w.Rand.IntN(len(w.channels()))]
	c := w.clients[0]
	at := c.Newest(channel)
	for deadline := time.Now().Add(time.Second); c.Newest(channel) == at && time.Now().Before(deadline); {
		time.Sleep(20 * time.Microsecond)
	}
}

func (k *killer) end(t *testing.T, name string, began time.Time) {
	t.Helper()
	v := k.w.Settle(Policy{})
	k.w.Edge.Stop()
	checkDir(t, k.w.Edge)
	slices.Sort(k.ready)
	figures := k.w.Figures(v)
	figures["kills"], figures["kills_at_start"] = len(k.ready), k.early
	figures["ready_ms_median"] = k.ready[len(k.ready)/2].Milliseconds()
	figures["ready_ms_max"] = k.ready[len(k.ready)-1].Milliseconds()
	figures["ready_over_limit"] = k.slow
	Report(t, name, began, k.w.Seed, figures)
}
