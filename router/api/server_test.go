package api

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/prometheus/client_golang/prometheus"
)

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		fault  string // "" = valid
	}{
		{"the shipped one", func(*Config) {}, ""},
		{"a prefix", func(c *Config) { c.PathPrefix = "/ws" }, ""},
		{"a prefix without slash", func(c *Config) { c.PathPrefix = "ws" }, "path prefix"},
		{"a prefix that ends with a slash", func(c *Config) { c.PathPrefix = "/ws/" }, "path prefix"},
		{"a prefix with a query", func(c *Config) { c.PathPrefix = "/ws?" }, "path prefix"},
		{"line too small", func(c *Config) { c.Limits.RequestLineBytes = 1023 }, "request line bytes"},
		{"line too large", func(c *Config) { c.Limits.RequestLineBytes = 64<<10 + 1 }, "request line bytes"},
		{"head too small", func(c *Config) { c.Limits.HeadBytes = 1023 }, "head bytes"},
		{"head too large", func(c *Config) { c.Limits.HeadBytes = 64<<10 + 1 }, "head bytes"},
		{"no head fields", func(c *Config) { c.Limits.HeadCount = 0 }, "head count"},
		{"no channel name", func(c *Config) { c.Limits.ChannelNameBytes = 0 }, "channel name bytes"},
		{"no event name", func(c *Config) { c.Limits.EventNameBytes = 0 }, "event name bytes"},
		{"no data", func(c *Config) { c.Limits.EventDataBytes = 0 }, "event data bytes"},
		{"no body", func(c *Config) { c.Limits.BodyBytes = 0 }, "body bytes"},
		{"no channels", func(c *Config) { c.Limits.EventChannels = 0 }, "event channels"},
		{"no batch", func(c *Config) { c.Limits.BatchEvents = 0 }, "batch events"},
		{"no window", func(c *Config) { c.Limits.AuthWindow = 0 }, "auth window"},
		{"a negative rate", func(c *Config) { c.Limits.EventsPerSecond = -1 }, "events per second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			c.change(&cfg)
			_, err := New(cfg, &fakeRouter{}, time.Now)
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("all faults are told", func(t *testing.T) {
		_, err := New(Config{}, &fakeRouter{}, time.Now)
		if n := strings.Count(err.Error(), "\n") + 1; n != 10 {
			t.Errorf("%d faults: %v", n, err)
		}
	})
	t.Run("SetLimits refuses and keeps the old", func(t *testing.T) {
		h := start(t)
		if err := h.server.SetLimits(Limits{}); err == nil {
			t.Error("zero limits were taken")
		}
		h.post(eventsPath, event("tag", "1")).want(t, 200, "{}")
	})
}

// TestMetrics: answers are counted by route and status, whatever gave them.
func TestMetrics(t *testing.T) {
	h := start(t, func(c *Config) { c.SessionIDs = auth.NewSessionIDs([16]byte{1}) })
	h.post(eventsPath, event("tag", "1"))
	h.post(eventsPath, event("tag", "1"))
	h.post(eventsPath, "{")
	h.get("/apps/3/channels/a", "")
	h.do(raw("GET", "/nothing", ""), "GET")
	h.do("POST /apps/3/batch_events HTTP/1.1\r\nHost: h\r\nContent-Length: 262145\r\n\r\n", "POST")
	h.do("POST /apps/3/batch_events HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 262145\r\n\r\n", "POST")
	h.do("nonsense\r\n\r\n", "GET")
	h.get("/apps/3/channels/a/history", "")
	h.do(raw("POST", "/app/nobody/session", ""), "POST")
	h.do(raw("OPTIONS", "/app/"+testKey+"/session", ""), "OPTIONS")

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(h.server.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests, timed := map[string]float64{}, map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			key := strings.Join(labels, " ")
			switch f.GetName() {
			case "holdfast_api_requests_total":
				if v := m.GetCounter().GetValue(); v > 0 {
					requests[key] = v
				}
			case "holdfast_api_request_duration_seconds":
				if n := m.GetHistogram().GetSampleCount(); n > 0 {
					timed[key] = n
				}
			default:
				t.Errorf("unexpected metric %s", f.GetName())
			}
		}
	}
	wantRequests := map[string]float64{"events 200": 2, "events 400": 1, "channel 200": 1, "other 404": 1, "batch_events 413": 2, "other 400": 1, "history 410": 1, "session 404": 1, "session 204": 1}
	for key, want := range wantRequests {
		if requests[key] != want {
			t.Errorf("requests{%s} is %v, want %v", key, requests[key], want)
		}
	}
	if len(requests) != len(wantRequests) {
		t.Errorf("requests %v", requests)
	}
	if timed["events"] != 3 || timed["channel"] != 1 || timed["other"] != 1 || timed["history"] != 1 || timed["session"] != 2 || len(timed) != 5 {
		t.Errorf("durations %v", timed)
	}
}
