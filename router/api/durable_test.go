package api

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// TestDurable: the event goes into the log as durable, and the answer says so.
func TestDurable(t *testing.T) {
	item := `{"name":"x","data":"","channel":"a","info":"position"}`
	for _, c := range []struct {
		name, path, body, want string
		durable                int
	}{
		{"an event", eventsPath, event("durable", "true"), `{}`, 1},
		{"an event of two channels", eventsPath, `{"name":"x","data":"","channels":["a","b"],"durable":true}`, `{}`, 2},
		{"without history", eventsPath, `{"name":"x","data":"","channel":"quiet-a","durable":true}`, `{}`, 1},
		{"a batch", batchPath, `{"durable":true,"batch":[` + item + `,` + item + `]}`, `{"batch":[{"position":{"epoch":"k3f9a7c2","seq":1}},{"position":{"epoch":"k3f9a7c2","seq":2}}]}`, 2},
		{"behind the events of a batch", batchPath, `{"batch":[` + item + `],"durable":true}`, `{"batch":[{"position":{"epoch":"k3f9a7c2","seq":1}}]}`, 1},
		{"not asked for", eventsPath, event("tag", "1"), `{}`, 0},
		{"false", eventsPath, event("durable", "false"), `{}`, 0},
		{"a batch that is not", batchPath, `{"durable":false,"batch":[` + item + `]}`, `{"batch":[{"position":{"epoch":"k3f9a7c2","seq":1}}]}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keep(t)
			got := k.post(c.path, c.body)
			got.want(t, 200, c.want)
			header := ""
			if c.durable > 0 {
				header = "1"
			}
			if h := got.header.Get("Holdfast-Durable"); h != header {
				t.Errorf("Holdfast-Durable is %q, want %q", h, header)
			}
			k.log.set(func(l *memLog) {
				if l.durable != c.durable {
					t.Errorf("%d events were durable, want %d", l.durable, c.durable)
				}
			})
		})
	}
	t.Run("inside an item of a batch", func(t *testing.T) {
		keep(t).post(batchPath, `{"batch":[{"name":"x","data":"","channel":"a","durable":true}]}`).
			want(t, 400, `{"error":"batch[0]: durable stands at the top of a batch, not inside an event","code":"bad_json","status":400}`)
	})
}

// TestDurableUnavailable: what the log cannot promise is delivered to nobody.
func TestDurableUnavailable(t *testing.T) {
	const refused = `{"error":"the log cannot store durable events now: nothing was delivered; try again in a second","code":"log_unavailable","status":503}`
	k := keep(t, router.HistoryRule{Match: "orders.*", Rule: router.Rule{Events: 10, Age: time.Hour, Bytes: 1 << 20, Durable: true}})
	k.log.set(func(l *memLog) { l.full = true })
	for _, c := range []struct{ name, path, body, want string }{
		{"an event", eventsPath, event("durable", "true"), refused},
		{"several channels", eventsPath, `{"name":"x","data":"","channels":["a","b"],"durable":true}`, refused},
		{"a batch", batchPath, `{"durable":true,"batch":[{"name":"x","data":"","channel":"a"}]}`, refused},
		{"a channel whose rule is durable", eventsPath, `{"name":"x","data":"","channel":"orders.1"}`, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := k.post(c.path, c.body)
			got.want(t, 503, c.want)
			if got.header.Get("Retry-After") != "1" || got.header.Get("Holdfast-Durable") != "" {
				t.Errorf("headers %v", got.header)
			}
			k.wantPublished()
		})
	}
	t.Run("live delivery goes on", func(t *testing.T) {
		k.post(eventsPath, event("tag", "1")).want(t, 200, `{}`)
		k.wantPublished("a")
	})
	t.Run("it recovers alone", func(t *testing.T) {
		k.log.set(func(l *memLog) { l.full = false })
		k.post(eventsPath, event("durable", "true")).want(t, 200, `{}`)
	})
}

// TestDurableInPart: one channel of several, or one event of a batch, was refused
// when the others had their place. The sentence does not deny them.
func TestDurableInPart(t *testing.T) {
	k := keep(t)
	k.log.set(func(l *memLog) { l.refuse = "b" })
	k.post(batchPath, `{"durable":true,"batch":[{"name":"x","data":"","channel":"a"},{"name":"x","data":"","channel":"b"},{"name":"x","data":"","channel":"c"}]}`).
		want(t, 503, `{"error":"the log cannot store durable events now: 2 of 3 events were delivered, the first that was not is batch[1]; try again in a second","code":"log_unavailable","status":503}`)
	k.wantPublished("a", "c")
	k.post(eventsPath, `{"name":"x","data":"","channels":["a","b","quiet-c"],"durable":true}`).
		want(t, 503, `{"error":"the log cannot store durable events now: the event was delivered in 2 of 3 channels, the first without it is \"b\"; try again in a second","code":"log_unavailable","status":503}`)
	k.wantPublished("a", "quiet-c")
	k.post(eventsPath, `{"name":"x","data":"","channel":"b","durable":true}`).
		want(t, 503, `{"error":"the log cannot store durable events now: nothing was delivered; try again in a second","code":"log_unavailable","status":503}`)
	k.wantPublished()
}

// TestBrokerAway: of an event that the broker was given and did not answer for nobody
// says that it was not delivered.
func TestBrokerAway(t *testing.T) {
	k := keep(t)
	for _, c := range []struct {
		err               error
		whole, part, some string
	}{
		{router.ErrBrokerUnavailable,
			"the broker of the cluster is away: nothing was delivered; try again in a second",
			`the broker of the cluster is away: the event was delivered in 1 of 2 channels, the first without it is \"b\"; try again in a second`,
			"the broker of the cluster is away: 1 of 2 events were delivered, the first that was not is batch[1]; try again in a second"},
		{router.ErrUnanswered,
			"the broker of the cluster did not answer in time: what was asked for may have been delivered all the same; try again in a second, with an idempotency_key so that nothing comes twice",
			`the broker of the cluster did not answer in time: the event was delivered in 1 of 2 channels, the first without it may be \"b\"; try again in a second, with an idempotency_key so that nothing comes twice`,
			"the broker of the cluster did not answer in time: 1 of 2 events were delivered, the first that was not may be batch[1]; try again in a second, with an idempotency_key so that nothing comes twice"},
	} {
		k.log.set(func(l *memLog) { l.refuse, l.refusal = "b", c.err })
		for _, r := range []struct{ path, body, want string }{
			{eventsPath, `{"name":"x","data":"","channel":"b"}`, c.whole},
			{eventsPath, `{"name":"x","data":"","channels":["a","b"]}`, c.part},
			{batchPath, `{"batch":[{"name":"x","data":"","channel":"a"},{"name":"x","data":"","channel":"b"}]}`, c.some},
		} {
			got := k.post(r.path, r.body)
			got.want(t, 503, `{"error":"`+r.want+`","code":"broker_unavailable","status":503}`)
			if got.header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
		}
	}
}

// TestLogTooFarBehind: a full queue of the log takes none of a batch.
func TestLogTooFarBehind(t *testing.T) {
	k := keep(t)
	k.log.set(func(l *memLog) { l.busy = true })
	got := k.post(batchPath, `{"batch":[{"name":"x","data":"","channel":"a"},{"name":"x","data":"","channel":"b"}]}`)
	got.want(t, 503, `{"error":"too many events are waiting for delivery: nothing was delivered; try again in a second","code":"broker_unavailable","status":503}`)
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	k.wantPublished()
}

// TestDurableAgain: the answer that is given again is as durable as the first.
func TestDurableAgain(t *testing.T) {
	k := keep(t)
	body := strings.TrimSuffix(keyedEvent("k1", "a"), "}") + `,"durable":true}`
	for _, replayed := range []bool{false, true, true} {
		got := k.post(eventsPath, body)
		got.want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
		got.wantReplayed(t, replayed)
		if got.header.Get("Holdfast-Durable") != "1" {
			t.Error("no Holdfast-Durable")
		}
	}
	k.wantPublished("a")
}
