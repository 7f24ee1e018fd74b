package limits

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Names, data and bodies that are too long are refused with the whole story.
func TestLimitEvent(t *testing.T) {
	const nameLimit, dataLimit, bodyLimit = 200, 10 << 10, 256 << 10
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	name, data := strings.Repeat("n", nameLimit), strings.Repeat("d", dataLimit)
	body := func(bytes int) string { // a valid event with a body of so many bytes
		const head, tail = `{"name":"x","channel":"a","data":"{}","more":"`, `"}`
		return head + strings.Repeat("m", bytes-len(head)-len(tail)) + tail
	}
	cases := []struct {
		name, path, body string
		want             refusal // status 0: is taken
	}{
		{"name", "/events", event(name, "{}", "a"), refusal{}},
		{"name over", "/events", event(name+"n", "{}", "a"), refusal{Code: "bad_event", Status: 400, Limit: nameLimit, Actual: nameLimit + 1, Knob: "limits.event_name_bytes"}},
		{"data", "/events", event("x", data, "a"), refusal{}},
		{"data over", "/events", event("x", data+"d", "a"), refusal{Error: "event data is 10,241 bytes, limit 10,240: raise limits.event_data_bytes",
			Code: "data_too_large", Status: 413, Limit: dataLimit, Actual: dataLimit + 1, Knob: "limits.event_data_bytes"}},
		{"data that is shorter than its JSON", "/events", event("x", strings.Repeat("\n", dataLimit), "a"), refusal{}},
		{"data over in a batch", "/batch_events", `{"batch":[{"name":"x","channel":"a","data":"{}"},{"name":"x","channel":"a","data":"` + data + `d"}]}`,
			refusal{Error: "batch[1]", Code: "data_too_large", Status: 413, Limit: dataLimit, Actual: dataLimit + 1, Knob: "limits.event_data_bytes"}},
		{"body", "/events", body(bodyLimit), refusal{}},
		{"body over", "/events", body(bodyLimit + 1), refusal{Code: "body_too_large", Status: 413, Limit: bodyLimit, Actual: bodyLimit + 1, Knob: "limits.body_bytes"}},
		{"body of 16 MiB", "/events", body(16 << 20), refusal{Code: "body_too_large", Status: 413, Limit: bodyLimit, Actual: 16 << 20, Knob: "limits.body_bytes"}},
	}
	before := resident(t, edge)
	crowd.beside("event name, data, body", func() {
		crowd.storm(4, func(worker int) error {
			for _, c := range cases {
				r, err := demo.post(edge, c.path, c.body)
				if c.want.Status == 0 {
					err = taken(r, err)
				} else if len(c.body) > bodyLimit {
					r, err = postRaw(edge, c.path, c.body) // an HTTP library may prefer its failed write to the answer
					err = refused(r, err, c.want)
				} else {
					err = refused(r, err, c.want)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			return declaredBody(edge)
		})
	})
	if grown := resident(t, edge) - before; grown > 64<<20*slowdown {
		t.Errorf("the server has grown by %d KiB", grown>>10)
	}
}

// postRaw sends a body to its end and reads the answer meanwhile.
func postRaw(edge *hftest.Edge, path, body string) (hftest.Response, error) {
	s, err := connect(edge, how{})
	if err != nil {
		return hftest.Response{}, err
	}
	defer s.close()
	head := fmt.Sprintf("POST /apps/%s%s HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n", demo.id, path, len(body))
	go func() { _ = s.write([]byte(head + body)) }() // the server may close before it has all
	r, err := s.answer()
	if err == nil {
		err = s.wantEnd()
	}
	return r, err
}

// declaredBody announces more than there can be: the answer does not wait for it.
func declaredBody(edge *hftest.Edge) error {
	s, err := connect(edge, how{})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.write([]byte("POST /apps/app-id/events HTTP/1.1\r\nHost: edge\r\nContent-Length: 1099511627776\r\n\r\n{")); err != nil {
		return err
	}
	r, err := s.answer()
	return refused(r, err, refusal{Code: "body_too_large", Status: 413, Limit: 256 << 10, Actual: 1 << 40, Knob: "limits.body_bytes"})
}

// An event names at most so many channels.
func TestLimitEventChannels(t *testing.T) {
	const limit = 100
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	to := func(n int) string {
		channels := make([]string, n)
		for i := range channels {
			channels[i] = fmt.Sprint("c", i)
		}
		return toJSON(map[string]any{"name": "x", "data": "{}", "channels": channels})
	}
	crowd.beside("event_channels", func() {
		crowd.storm(4, func(int) error {
			for _, n := range []int{limit + 1, 5000} {
				r, err := demo.post(edge, "/events", to(n))
				if err := refused(r, err, refusal{Code: "too_many_channels", Status: 400, Limit: limit, Actual: int64(n), Knob: "limits.event_channels"}); err != nil {
					return err
				}
			}
			return taken(demo.post(edge, "/events", to(limit)))
		})
	})
}

// A batch holds at most so many events, and of one that holds more none is sent.
func TestLimitBatchEvents(t *testing.T) {
	const limit = 10
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	batch := func(channel string, n int) string {
		events := make([]map[string]string, n)
		for i := range events {
			events[i] = map[string]string{"name": "x", "data": fmt.Sprint(i), "channel": channel}
		}
		return toJSON(map[string]any{"batch": events})
	}
	crowd.beside("batch_events", func() {
		crowd.storm(4, func(worker int) error {
			channel := fmt.Sprint("batch-", worker)
			s, err := join(edge, how{}, channel)
			if err != nil {
				return err
			}
			defer s.close()
			for _, n := range []int{limit + 1, 2000} {
				r, err := demo.post(edge, "/batch_events", batch(channel, n))
				if err := refused(r, err, refusal{Code: "too_many_events", Status: 400, Limit: limit, Actual: int64(n), Knob: "limits.batch_events"}); err != nil {
					return err
				}
			}
			if err := taken(demo.post(edge, "/batch_events", batch(channel, limit))); err != nil {
				return err
			}
			for i := range limit {
				ev, err := s.want("x")
				if err != nil || ev.Text() != fmt.Sprint(i) {
					return fmt.Errorf("event %d of the batch: %s, %w", i, ev.Raw, errors.Join(err))
				}
			}
			return s.alive() // its pong is the next frame: nothing of a refused batch came
		})
	})
}

// A call whose timestamp is too far from our clock is refused, whoever signed it.
func TestLimitAuthWindow(t *testing.T) {
	const limit = 600
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	crowd.beside("auth_window", func() {
		crowd.storm(4, func(int) error {
			for _, off := range []time.Duration{-limit - 2, limit + 2, -24 * 3600, 365 * 24 * 3600} {
				backend := demo
				backend.at = off * time.Second
				r, err := backend.post(edge, "/events", event("x", "{}", "a"))
				if err := refused(r, err, refusal{Code: "stale_timestamp", Status: 401, Limit: limit, Actual: -1, Knob: "limits.auth_window"}); err != nil {
					return fmt.Errorf("%d s off: %w", off, err)
				}
			}
			for _, off := range []time.Duration{-limit + 10, limit - 10} {
				backend := demo
				backend.at = off * time.Second
				if err := taken(backend.post(edge, "/events", event("x", "{}", "a"))); err != nil {
					return fmt.Errorf("%d s off: %w", off, err)
				}
			}
			return nil
		})
	})
}

// A backend over its rate is told to come back; the other application's is not.
func TestLimitAPIRate(t *testing.T) {
	const rate = 50
	busy := app{id: "busy", key: "busy-key", secret: "busy-secret"}
	edge := hftest.Start(t, hftest.Options{
		Config: demo.config("") + busy.config(""),
		Flags:  set(fmt.Sprintf("limits.api_events_per_second=%d", rate)),
	})
	crowd := accompany(t, edge)
	limited := refusal{Code: "rate_limited", Status: 429, Limit: rate, Actual: rate + 1, Knob: "limits.api_events_per_second"}
	crowd.beside("api_events_per_second", func() {
		begun := time.Now()
		published := metric(edge, `published_total{app="busy",source="api"}`)
		crowd.storm(4, func(worker int) error {
			path, body := "/events", event("x", "{}", "a")
			if worker == 0 { // ten a call
				path, body = "/batch_events", `{"batch":[`+strings.Repeat(`{"name":"x","channel":"a","data":""},`, 9)+`{"name":"x","channel":"a","data":""}]}`
			}
			r, err := busy.post(edge, path, body)
			if err == nil && r.Status == 200 {
				return nil
			}
			if err := refused(r, err, limited); err != nil {
				return err
			}
			if r.Header.Get("Retry-After") != "1" {
				return fmt.Errorf("429 with Retry-After %q, wanted 1", r.Header.Get("Retry-After"))
			}
			return taken(busy.call(edge, "GET", "/channels", "")) // is no event
		})
		// A batch may run into debt by its further nine.
		n := metric(edge, `published_total{app="busy",source="api"}`) - published
		if most := rate + time.Since(begun).Seconds()*rate + 9; n < rate || n > most {
			t.Errorf("%v events were taken, wanted %d to %.0f", n, rate, most)
		}
		if !eventually(func() bool { return taken(busy.post(edge, "/events", event("x", "{}", "a"))) == nil }) {
			t.Error("the rate never allows an event again")
		}
	})
}
