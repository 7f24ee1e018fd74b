package router

import (
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/frame"
)

func twoApps(c *Config) {
	c.Apps = append(c.Apps, AppConfig{ID: "2", Key: "k2", Secret: "s2", Enabled: true, Origins: []string{"*"}})
}

func TestReload(t *testing.T) {
	var cfg Config
	e := newEdge(t, 2, twoApps, func(c *Config) { cfg = *c })
	p := e.dial(0)
	q := e.open(1, frame.Upgrade{Path: []byte("/app/k2")})
	q.established()
	p.joined("news")

	t.Log("limits hold from the next message on")
	next := cfg
	next.Apps = []AppConfig{cfg.Apps[0], cfg.Apps[1]}
	next.Limits.Subscriptions = 1
	next.Apps[0].ClientEvents = false
	must0(t, e.r.Reload(next))
	must0(t, p.subscribe("sport", ""))
	e.pump()
	p.wantRefused("sport", "LimitReached", 403, "subscriptions: 2, limit 1 (limits.subscriptions)")
	must0(t, p.say(`{"event":"client-x","channel":"private-a"}`))
	p.wantError(4301, "client events: they are off for this application (apps.client_events)")
	if app, ok := e.r.AppByID("app-id"); !ok || app != e.app {
		t.Fatal("the application is another one after a reload")
	}

	t.Log("an application that is gone loses its connections, one that is new is served")
	next.Apps = []AppConfig{next.Apps[0], {ID: "3", Key: "k3", Secret: "s3", Enabled: true}}
	must0(t, e.r.Reload(next))
	e.pump()
	q.wantError(4003, frame.AppDisabled.Text)
	q.wantClosed(frame.AppDisabled)
	if p.closed != nil {
		t.Fatalf("the other application's connection was closed: %v", p.closed)
	}
	e.open(0, frame.Upgrade{Path: []byte("/app/k3")}).established()
	gone := e.open(0, frame.Upgrade{Path: []byte("/app/k2")})
	gone.wantError(4001, frame.UnknownApp.Text)

	t.Log("so does one that is disabled; enabled again it is the same application")
	next.Apps = []AppConfig{next.Apps[0]}
	next.Apps[0].Enabled = false
	must0(t, e.r.Reload(next))
	e.pump()
	p.wantError(4003, frame.AppDisabled.Text)
	p.wantClosed(frame.AppDisabled)
	next.Apps[0].Enabled, next.Apps[0].Key = true, "newkey"
	must0(t, e.r.Reload(next))
	e.open(0, frame.Upgrade{Path: []byte("/app/newkey")}).established()

	t.Log("a faulty configuration changes nothing")
	bad := next
	bad.Limits.Subscriptions = 0
	if err := e.r.Reload(bad); err == nil || e.r.Limits().Subscriptions != 1 {
		t.Fatalf("a faulty reload: %v, limits %+v", err, e.r.Limits())
	}
	e.checkEmpty()
}

func TestConfigNamesEveryFault(t *testing.T) {
	cfg := Default()
	cfg.Apps = []AppConfig{{ID: "1", Key: "k", Secret: "s"}, {ID: "1", Key: "k", Secret: ""}, {ID: "3", Key: "z", Secret: "s", MaxConnections: -1, Origins: []string{"nonsense"}}}
	cfg.Limits.Subscriptions = 0
	cfg.Limits.UserIDBytes = 513
	cfg.BacklogBytes = 1
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		`application 2: id, key and secret must not be empty`, `id "1" is used twice`, `key "k" is used twice`,
		`application "3": max_connections is -1`, `application "3": `, `limits.subscriptions is 0, it must be 1 to 100000`,
		`limits.user_id_bytes is 513`, `backlog bytes is 1`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "no application") {
		t.Errorf("an empty configuration: %v", err)
	}
	if _, err := New(cfg, &edge{}, nil); err == nil {
		t.Error("New took a faulty configuration")
	}
}
