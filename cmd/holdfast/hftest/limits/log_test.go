package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// position is where a subscriber stands.
type position struct {
	Epoch string `json:"epoch"`
	Seq   int    `json:"seq"`
}

// success is the answer to a subscribe on a channel with history.
type success struct {
	Position  position
	Recovered *bool
	Reason    string
	Replayed  int
}

func (s *socket) success(channel string) (got success, err error) {
	ev, err := s.want("pusher_internal:subscription_succeeded")
	if err == nil && ev.Channel != channel {
		err = fmt.Errorf("joined %q, wanted %q", ev.Channel, channel)
	}
	if err == nil {
		err = json.Unmarshal([]byte(ev.Raw), &got)
	}
	return got, err
}

// Who has missed more than recover_events is told so, and gets nothing of it.
func TestLimitRecover(t *testing.T) {
	const limit, published, channel = 50, 60, "missed"
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("limits.recover_events=%d", limit), "limits.subscribes_per_second=100000", "limits.batch_events=1000")})
	crowd := accompany(t, edge)
	if err := taken(demo.post(edge, "/batch_events", numberedBatch(channel, 0, published, 1))); err != nil {
		t.Fatal(err)
	}
	s, err := join(edge, how{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.subscribe(channel, "", ""); err != nil {
		t.Fatal(err)
	}
	head, err := s.success(channel)
	if err != nil || head.Position.Seq != published {
		t.Fatalf("stands at %+v, %v; %d events were published", head, err, published)
	}
	crowd.beside("recover_events", func() {
		crowd.storm(4, func(int) error {
			s, err := join(edge, how{})
			if err != nil {
				return err
			}
			defer s.close()
			for _, missed := range []int{limit + 1, published, limit, 1, 0} {
				from := position{head.Position.Epoch, published - missed}
				ask := toJSON(map[string]any{"event": "pusher:subscribe", "data": map[string]any{"channel": channel, "recover": from}})
				if err := s.text(ask); err != nil {
					return err
				}
				got, err := s.success(channel)
				want := success{Position: from, Replayed: missed}
				if missed > limit {
					want = success{Position: head.Position, Reason: "too_many"}
				}
				if err != nil || got.Recovered == nil || *got.Recovered != (missed <= limit) {
					return fmt.Errorf("%d missed: %+v, %w", missed, got, errors.Join(err))
				}
				if got.Recovered = nil; got != want {
					return fmt.Errorf("%d missed: got %+v, wanted %+v", missed, got, want)
				}
				for i := range want.Replayed {
					if _, err := s.hearNumbered(published - missed + i); err != nil {
						return fmt.Errorf("%d missed: %w", missed, err)
					}
				}
				if err := errors.Join(s.text(`{"event":"pusher:unsubscribe","data":{"channel":"`+channel+`"}}`), s.alive()); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// A stream or a poll of too many channels is refused; a wait that is too long is
// shortened and not refused.
func TestLimitDoorChannels(t *testing.T) {
	const limit = 20
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	ask := func(door string, n int, more string) (*socket, hftest.Response, error) {
		s, err := connect(edge, how{})
		if err != nil {
			return nil, hftest.Response{}, err
		}
		target := "/app/" + demo.key + "/" + door + "?"
		for i := range n {
			target += fmt.Sprintf("channel=door-%d&", i)
		}
		if err := s.write([]byte("GET " + target + more + " HTTP/1.1\r\nHost: edge\r\n\r\n")); err != nil {
			return nil, hftest.Response{}, err
		}
		if door == "sse" && n <= limit { // has no end
			line, err := s.r.ReadString('\n')
			if err == nil && !strings.HasPrefix(line, "HTTP/1.1 200") {
				err = fmt.Errorf("got %q", line)
			}
			return s, hftest.Response{Status: 200}, err
		}
		r, err := s.answer()
		return s, r, err
	}
	crowd.beside("door_channels, wait", func() {
		crowd.storm(4, func(int) error {
			for _, door := range []string{"sse", "poll"} {
				s, r, err := ask(door, limit, "wait=0")
				if err := taken(r, err); err != nil {
					return fmt.Errorf("%s of %d channels: %w", door, limit, err)
				}
				s.close()
				s, r, err = ask(door, limit+1, "wait=0")
				if err := refused(r, err, refusal{Code: "too_many_channels", Status: 400, Limit: limit, Actual: limit + 1, Knob: "limits.door_channels"}); err != nil {
					return fmt.Errorf("%s: %w", door, err)
				}
				s.close()
			}
			return nil
		})
		var work sync.WaitGroup
		var done atomic.Bool
		work.Go(func() {
			defer done.Store(true)
			s, r, err := ask("poll", 1, "since=-&wait=99999")
			if err == nil {
				defer s.close()
			}
			if err := taken(r, err); err != nil {
				t.Errorf("a wait above 50 s: %v", err)
			}
		})
		for !done.Load() {
			if err := taken(demo.post(edge, "/events", event("x", "{}", "door-0"))); err != nil {
				t.Fatal(err)
			}
		}
		work.Wait()
	})
}

// durable is a batch of so many durable events.
func durable(channel string, n int) string {
	item := `{"name":"x","channel":"` + channel + `","data":"{}"}`
	return `{"durable":true,"batch":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}`
}

// tryLater expects an answer of this status and code that says when to come back,
// and nothing more.
func tryLater(r hftest.Response, err error, status int, code string) error {
	if err := refused(r, err, refusal{Code: code, Status: status}); err != nil {
		return err
	}
	if r.Header.Get("Retry-After") != "1" {
		return fmt.Errorf("%d with Retry-After %q, wanted 1", status, r.Header.Get("Retry-After"))
	}
	return nil
}

// More durable events than may wait for the disk are refused whole, and none of
// them is delivered.
func TestLimitDurableWaiting(t *testing.T) {
	const limit, channel = 64, "lasting"
	edge := hftest.Start(t, hftest.Options{Flags: set(fmt.Sprintf("limits.durable_waiting=%d", limit), "limits.batch_events=1000")})
	crowd := accompany(t, edge)
	crowd.beside("durable_waiting", func() {
		crowd.storm(4, func(worker int) error {
			channel := fmt.Sprint(channel, worker)
			s, err := join(edge, how{}, channel)
			if err != nil {
				return err
			}
			defer s.close()
			r, err := demo.post(edge, "/batch_events", durable(channel, limit+1))
			if err := tryLater(r, err, 429, "rate_limited"); err != nil {
				return err
			}
			return s.alive() // its pong is the next frame
		})
		if err := taken(demo.post(edge, "/batch_events", durable(channel, limit))); err != nil {
			t.Error(err)
		}
	})
}

// While the log cannot write, durable events are refused and all others delivered;
// it recovers alone.
func TestLimitLogCannotWrite(t *testing.T) {
	const channel = "lasting"
	edge := hftest.Start(t, hftest.Options{})
	crowd := accompany(t, edge)
	publish := func() (hftest.Response, error) {
		return demo.post(edge, "/events", `{"name":"x","channel":"`+channel+`","data":"{}","durable":true}`)
	}
	if err := taken(publish()); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(edge.PID(), unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	crowd.beside("the log cannot write", func() {
		// No file may grow any more (EFBIG), as on a full disk.
		if err := unix.Prlimit(edge.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: limit.Max}, nil); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool { r, err := publish(); return err == nil && r.Status == 503 }) {
			t.Fatal("durable events are taken that cannot be written")
		}
		crowd.storm(2, func(worker int) error {
			r, err := publish()
			if err := tryLater(r, err, 503, "log_unavailable"); err != nil {
				return err
			}
			return taken(demo.post(edge, "/events", event("x", "{}", channel)))
		})
		if err := unix.Prlimit(edge.PID(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool { return taken(publish()) == nil }) {
			t.Error("the log can write again and durable events are refused")
		}
	})
}
