package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape gathers the router's metrics as "name{label="value"} number" lines;
// histograms as name_count and name_sum.
func scrape(t *testing.T, r *Router) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(r.Collector()); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				got[name] = m.Counter.GetValue()
			case m.Gauge != nil:
				got[name] = m.Gauge.GetValue()
			default:
				got[name+"_count"] = float64(m.Histogram.GetSampleCount())
				got[name+"_sum"] = m.Histogram.GetSampleSum()
			}
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	e := newEdge(t, 2)
	a, b, far := e.dial(0), e.dial(0), e.dial(1)
	for _, p := range []*peer{a, b, far} {
		p.joined("private-a")
	}
	a.joinedAs("presence-a", "1")
	b.joined("cache-x")
	must0(t, a.say(`{"event":"pusher:subscribe","data":{"channel":"private-b","auth":"app-key:00"}}`))
	must0(t, a.say(`{"event":"pusher:subscribe","data":{"channel":"a b"}}`))
	must0(t, a.say(`{"event":"pusher:ping"}`))
	must0(t, a.say(`nonsense`))
	must0(t, a.say(`{"event":"client-x","channel":"private-a","data":{}}`))
	e.publishNow(&Event{Name: "e", Data: "1", Channels: []string{"private-a", "empty"}})
	e.publishNow(&Event{Name: "e", Data: "2", Channels: []string{"private-a"}})
	e.advance(20 * time.Millisecond)
	e.pump()

	got := scrape(t, e.r)
	for name, want := range map[string]float64{
		`holdfast_messages_received_total{app="app-id",kind="subscribe"}`:    7,
		`holdfast_messages_received_total{app="app-id",kind="ping"}`:         1,
		`holdfast_messages_received_total{app="app-id",kind="invalid"}`:      1,
		`holdfast_messages_received_total{app="app-id",kind="client_event"}`: 1,
		`holdfast_messages_sent_total{app="app-id",kind="event"}`:            6,
		`holdfast_messages_sent_total{app="app-id",kind="client_event"}`:     2,
		// 3 greetings, 5 successes, a cache miss, 2 refusals, a pong, an error.
		`holdfast_messages_sent_total{app="app-id",kind="reply"}`:      13,
		`holdfast_published_total{app="app-id",source="api"}`:          3,
		`holdfast_published_total{app="app-id",source="client"}`:       1,
		`holdfast_fanout_recipients_count`:                             4,
		`holdfast_fanout_recipients_sum`:                               9,
		`holdfast_fanout_latency_seconds{path="local"}_count`:          3,
		`holdfast_subscriptions{type="private"}`:                       3,
		`holdfast_subscriptions{type="presence"}`:                      1,
		`holdfast_subscriptions{type="cache"}`:                         1,
		`holdfast_subscriptions{type="public"}`:                        0,
		`holdfast_channels{type="private"}`:                            1,
		`holdfast_channels{type="presence"}`:                           1,
		`holdfast_subscribe_total{result="ok",type="private"}`:         3,
		`holdfast_subscribe_total{result="auth",type="private"}`:       1,
		`holdfast_subscribe_total{result="bad_request",type="public"}`: 1,
		`holdfast_auth_failures_total{reason="signature"}`:             1,
		`holdfast_fanout_batches_total`:                                2,
		`holdfast_fanout_batched_events_total`:                         6,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (present: %v), want %v", name, v, ok, want)
		}
	}
	if sum := got[`holdfast_fanout_latency_seconds{path="local"}_sum`]; sum < 0.06 || sum > 0.061 {
		t.Errorf("latency sum = %v s, want three times 20 ms", sum)
	}
	if n := got[`holdfast_sent_bytes_total{app="app-id"}`]; n < 1000 {
		t.Errorf("sent bytes = %v", n)
	}
	if n := got[`holdfast_received_bytes_total{app="app-id"}`]; n < 500 {
		t.Errorf("received bytes = %v", n)
	}

	e.checkEmpty()
	got = scrape(t, e.r)
	for name, v := range got {
		if strings.HasPrefix(name, "holdfast_subscriptions") || strings.HasPrefix(name, "holdfast_channels") {
			if v != 0 {
				t.Errorf("%s = %v with nobody there", name, v)
			}
		}
	}
}

func TestManyApplicationsShareOneLabel(t *testing.T) {
	e := newEdge(t, 1, func(c *Config) {
		for i := range 150 {
			c.Apps = append(c.Apps, AppConfig{ID: fmt.Sprint("x", i), Key: fmt.Sprint("k", i), Secret: "s", Enabled: true})
		}
	})
	last, _ := e.r.AppByID("x149")
	if err := e.r.Publish(last, &Event{Name: "e", Channels: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, e.r)
	if v := got[`holdfast_published_total{app="other",source="api"}`]; v != 1 {
		t.Errorf("other published %v, want 1", v)
	}
	if len(got) > 2000 {
		t.Errorf("%d series, budget 2,000", len(got))
	}
	if _, ok := got[`holdfast_published_total{app="x149",source="api"}`]; ok {
		t.Error("the 151st application has a label of its own")
	}
}

func TestHistogramBuckets(t *testing.T) {
	h := newRecipients()
	for _, v := range []int64{0, 1, 2, 10, 11, 2_000_000} {
		h.observe(v)
	}
	var got []uint64
	for i := range h.counts {
		got = append(got, h.counts[i].Load())
	}
	if want := "[1 1 2 1 0 0 0 0 1]"; fmt.Sprint(got) != want {
		t.Errorf("buckets = %v, want %v", got, want)
	}
}
