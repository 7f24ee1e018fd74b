package api

import (
	"strings"
	"testing"
)

// TestPositionOfAPublish is that of this event, in each channel that has one.
func TestPositionOfAPublish(t *testing.T) {
	k := keep(t)
	k.fill("a", 41)
	for _, c := range []struct{ name, path, body, want string }{
		{"one channel", eventsPath, `{"name":"x","data":"","channel":"a","info":"position"}`, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":42}}}}`},
		{"with another attribute", eventsPath, `{"name":"x","data":"","channels":["a","presence-b"],"info":"user_count,position"}`,
			`{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":43}},"presence-b":{"position":{"epoch":"k3f9a7c2","seq":1},"user_count":0}}}`},
		{"left out without history", eventsPath, `{"name":"x","data":"","channels":["quiet-a","b"],"info":"position"}`, `{"channels":{"quiet-a":{},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`},
		{"of a batch", batchPath, `{"batch":[{"name":"x","data":"","channel":"a","info":"position"},{"name":"x","data":"","channel":"c"},{"name":"x","data":"","channel":"a","info":"position,subscription_count"}]}`,
			`{"batch":[{"position":{"epoch":"k3f9a7c2","seq":44}},{},{"position":{"epoch":"k3f9a7c2","seq":45},"subscription_count":0}]}`},
		{"not asked for", eventsPath, `{"name":"x","data":"","channel":"a","info":"subscription_count"}`, `{"channels":{"a":{"subscription_count":0}}}`},
	} {
		t.Run(c.name, func(t *testing.T) { k.post(c.path, c.body).want(t, 200, c.want) })
	}
	t.Run("left out while the log cannot write", func(t *testing.T) {
		k.log.set(func(l *memLog) { l.full = true })
		k.post(eventsPath, `{"name":"x","data":"","channel":"a","info":"position"}`).want(t, 200, `{"channels":{"a":{}}}`)
	})
}

// TestPositionOfAChannel is where it stands.
func TestPositionOfAChannel(t *testing.T) {
	k := keep(t)
	k.fill("a", 42)
	k.get("/apps/3/channels/a", "info=position").want(t, 200, `{"occupied":false,"position":{"epoch":"k3f9a7c2","seq":42}}`)
	k.get("/apps/3/channels/a", "info=subscription_count,position").want(t, 200, `{"occupied":false,"position":{"epoch":"k3f9a7c2","seq":42},"subscription_count":0}`)
	k.get("/apps/3/channels/new", "info=position").want(t, 200, `{"occupied":false,"position":{"epoch":"k3f9a7c2","seq":0}}`)
	k.get("/apps/3/channels/a", "").want(t, 200, `{"occupied":false}`)
	k.get("/apps/3/channels/quiet-a", "info=position").want(t, 400, `{"error":"info position: channel \"quiet-a\" has no history: the rule under [[history]] that matches it keeps no events","code":"bad_info","status":400}`)
	k.get("/apps/3/channels", "info=position").want(t, 400, `{"error":"info position: a list cannot have it, ask for one channel","code":"bad_info","status":400}`)

	t.Run("nobody could go on from it", func(t *testing.T) {
		k.log.set(func(l *memLog) { l.full = true })
		k.post(eventsPath, event("tag", "1")).want(t, 200, `{}`)
		k.get("/apps/3/channels/a", "info=position").want(t, 200, `{"occupied":false}`)
	})
	t.Run("the log cannot tell", func(t *testing.T) {
		k.log.set(func(l *memLog) { l.down = true })
		got := k.get("/apps/3/channels/a", "info=position")
		got.want(t, 503, `{"error":"the log cannot tell now where the channel stands: try again in a second","code":"log_unavailable","status":503}`)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
	})
}

// TestPositionWithoutALog: left out of a publish, refused on a query.
func TestPositionWithoutALog(t *testing.T) {
	h := start(t)
	h.server.router = testRouter(t)
	h.post(eventsPath, `{"name":"x","data":"","channel":"a","info":"position"}`).want(t, 200, `{"channels":{"a":{}}}`)
	if got := h.get("/apps/3/channels/a", "info=position"); got.status != 400 || !strings.Contains(got.body, "set enabled = true under [replay]") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
