package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest/oracle"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// perConn is how many channels one client subscribes to: limits.subscriptions by default.
const perConn = 100

// load is how much is published while nodes come and go.
type load struct {
	channels  int
	perSecond int
	length    time.Duration
}

func sizedLoad() load {
	if oracle.Soak() {
		return load{channels: 1000, perSecond: 5000, length: time.Minute}
	}
	return load{channels: 200, perSecond: 1000, length: 5 * time.Second}
}

func loadChannel(i int) string { return fmt.Sprint("load-", i) }

// reader is the clients of one node.
type reader struct {
	t   *testing.T
	mu  sync.Mutex
	got map[string][]numbered
	all sync.WaitGroup
}

// read subscribes to all channels on a node and reads until each has had its last event.
func read(t *testing.T, e *hftest.Edge, channels int) *reader {
	t.Helper()
	r := &reader{t: t, got: map[string][]numbered{}}
	for from := 0; from < channels; from += perConn {
		c := e.Dial()
		n := min(perConn, channels-from)
		for i := range n {
			c.Subscribe(loadChannel(from + i))
		}
		r.all.Go(func() { r.listen(c, n) })
	}
	return r
}

func (r *reader) listen(c *hftest.Conn, lasts int) {
	for lasts > 0 {
		ev, err := c.TryNext()
		if err != nil {
			r.t.Errorf("a client of a node that stayed was cut off: %v", err)
			return
		}
		var seq struct {
			Seq uint64 `json:"seq"`
		}
		if err := json.Unmarshal([]byte(ev.Raw), &seq); err != nil || (ev.Event != "e" && ev.Event != "last") {
			r.t.Errorf("%s (%v)", ev.Raw, err)
			return
		}
		if ev.Event == "last" {
			lasts--
		}
		r.mu.Lock()
		r.got[ev.Channel] = append(r.got[ev.Channel], numbered{ev.Event, ev.Text(), seq.Seq})
		r.mu.Unlock()
	}
}

// batch publishes ten events, and tells whether they were taken.
func batch(e *hftest.Edge, client *http.Client, event string, channel func(int) string, data string) bool {
	var items []map[string]string
	for i := range 10 {
		items = append(items, map[string]string{"name": event, "channel": channel(i), "data": fmt.Sprint(data, "-", i)})
	}
	r, err := e.Ask(client, http.MethodPost, "/batch_events", nil, map[string]any{"batch": items})
	return err == nil && r.Status == http.StatusOK
}

// TestNodesComeAndGo: two nodes publish and serve while a third one starts, stops, starts
// and is killed. Both have the same events of every channel, in the same order, without a
// hole; none that was answered is missing.
func TestNodesComeAndGo(t *testing.T) {
	size, began := sizedLoad(), time.Now()
	redis := redistest.Start(t, "--appendfsync", "everysec")
	edges := nodes(t, redis, 2)
	readers := []*reader{read(t, edges[0], size.channels), read(t, edges[1], size.channels)}

	var taken, refused atomic.Int64
	end := time.Now().Add(size.length)
	var publishers sync.WaitGroup
	const perEdge = 4
	for i := range 2 * perEdge {
		publishers.Go(func() {
			client := &http.Client{}
			// An open loop: a request that is late does not put off those behind it.
			every := time.Second * 10 * 2 * perEdge / time.Duration(size.perSecond)
			for k, due := 0, time.Now(); due.Before(end); k, due = k+1, due.Add(every) {
				time.Sleep(time.Until(due))
				first := (i*7919 + k*10) % size.channels
				if batch(edges[i%2], client, "e", func(n int) string { return loadChannel((first + n) % size.channels) }, fmt.Sprintf("%d-%d", i, k)) {
					taken.Add(10)
				} else {
					refused.Add(10)
				}
			}
		})
	}
	starts, kills := 0, 0
	third := hftest.Start(t, hftest.Options{Flags: []string{"--redis", redis.URL(), "--loops", "1"}})
	for i := 0; time.Now().Before(end); i++ {
		third.Dial().Subscribe(loadChannel(i % size.channels))
		time.Sleep(300 * time.Millisecond) // for so long it serves: what comes and goes must come and go
		if i%2 == 0 {
			third.Stop()
		} else {
			third.Kill()
			kills++
		}
		third.Run()
		starts++
	}
	publishers.Wait()
	client := &http.Client{}
	for i := 0; i < size.channels; i += 10 {
		if !batch(edges[0], client, "last", func(n int) string { return loadChannel(i + n) }, "") {
			t.Fatal("the last events were not taken")
		}
	}
	for _, r := range readers {
		r.all.Wait()
	}
	if refused.Load() > 0 {
		t.Errorf("%d events were refused, though Redis was there", refused.Load())
	}
	total := int64(0)
	for c := range size.channels {
		name := loadChannel(c)
		first, second := readers[0].got[name], readers[1].got[name]
		if len(first) != len(second) {
			t.Errorf("%s: %d events on one node, %d on the other", name, len(first), len(second))
			continue
		}
		for i := range first {
			if first[i] != second[i] || first[i].Seq != uint64(i+1) {
				t.Errorf("%s, event %d: %+v on one node, %+v on the other", name, i+1, first[i], second[i])
				break
			}
		}
		total += int64(len(first)) - 1
	}
	if total != taken.Load() {
		t.Errorf("%d events came, %d were answered", total, taken.Load())
	}
	oracle.Report(t, "cluster-load", began, 0, map[string]any{
		"channels": size.channels, "events": total, "events_per_second": total * int64(time.Second) / int64(size.length),
		"refused": refused.Load(), "third_node_started": starts, "third_node_killed": kills,
	})
}
