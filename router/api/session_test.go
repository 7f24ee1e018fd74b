package api

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/auth"
)

const (
	sessionPath = "/app/" + testKey + "/session"
	goodOrigin  = "https://a.example"
)

// doors is a Server with session ids, whose first application has an origin.
func doors(t *testing.T, change ...func(*Config)) *harness {
	t.Helper()
	h := start(t, append(change, func(c *Config) { c.SessionIDs = auth.NewSessionIDs([16]byte{1}) })...)
	cfg := testRouterConfig()
	for i := range cfg.Apps {
		cfg.Apps[i].Origins = []string{goodOrigin, "https://*.b.example"}
	}
	r, err := router.New(cfg, noLoops{}, func() int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	h.server.router = r
	return h
}

// cors is what a browser looks at.
func (r reply) cors() [6]string {
	return [6]string{
		r.header.Get("Access-Control-Allow-Origin"), r.header.Get("Access-Control-Expose-Headers"), r.header.Get("Vary"),
		r.header.Get("Access-Control-Allow-Methods"), r.header.Get("Access-Control-Allow-Headers"), r.header.Get("Access-Control-Allow-Credentials"),
	}
}

func TestSession(t *testing.T) {
	h := doors(t)
	form := regexp.MustCompile(`^\{"socket_id":"(\d+\.\d+)","expires_in":3600\}$`)
	seen := map[string]bool{}
	for _, origin := range []string{"", goodOrigin, "https://www.b.example", "HTTPS://A.example:443"} {
		var headers []string
		if origin != "" {
			headers = []string{"Origin: " + origin}
		}
		got := h.do(raw("POST", sessionPath, "", headers...), "POST")
		match := form.FindStringSubmatch(got.body)
		if got.status != 200 || match == nil || got.header.Get("Content-Type") != "application/json" {
			t.Fatalf("origin %q: %d %s", origin, got.status, got.body)
		}
		id := match[1]
		if seen[id] {
			t.Fatalf("%s was handed out twice", id)
		}
		seen[id] = true
		want := [6]string{"", "", "Origin"}
		if origin != "" {
			want = [6]string{origin, "ETag", "Origin"}
		}
		if got.cors() != want {
			t.Errorf("origin %q: %q", origin, got.cors())
		}

		t.Log("it is valid on every node that has the key, for an hour")
		node := auth.NewSessionIDs([16]byte{1})
		if err := node.Check(id, testNow.Add(time.Hour-time.Second)); err != nil {
			t.Error(err)
		}
		if err := node.Check(id, testNow.Add(time.Hour)); !errors.Is(err, auth.ErrSessionExpired) {
			t.Error(err)
		}
	}
	t.Run("a body is not looked at", func(t *testing.T) {
		if got := h.do(raw("POST", sessionPath, "{"), "POST"); got.status != 200 {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
	t.Run("behind a prefix", func(t *testing.T) {
		h := doors(t, func(c *Config) { c.PathPrefix = "/ws" })
		if got := h.do(raw("POST", "/ws"+sessionPath, ""), "POST"); got.status != 200 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if got := h.do(raw("POST", sessionPath, ""), "POST"); got.status != 404 {
			t.Errorf("without it: %d", got.status)
		}
	})
	t.Run("another key", func(t *testing.T) {
		h := doors(t)
		h.server.SetSessionIDs(auth.NewSessionIDs([16]byte{2}))
		got := h.do(raw("POST", sessionPath, ""), "POST")
		id := form.FindStringSubmatch(got.body)[1]
		if err := auth.NewSessionIDs([16]byte{2}).Check(id, testNow); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionRefuses(t *testing.T) {
	const foreign = `{"error":"origin \"https://c.example\" may not use this application: add it to apps.allowed_origins","code":"origin","status":403}`
	for _, c := range []struct {
		name, method, path, origin string
		status                     int
		body                       string
		cors                       [6]string
		allow                      string
	}{
		{name: "an unknown key", method: "POST", path: "/app/nobody/session", origin: goodOrigin, status: 404,
			body: `{"error":"application key \"nobody\" is not known here","code":"unknown_app","status":404}`},
		{name: "an application's id", method: "POST", path: "/app/" + testApp + "/session", status: 404,
			body: `{"error":"application key \"3\" is not known here","code":"unknown_app","status":404}`},
		{name: "a disabled application", method: "POST", path: "/app/" + offKey + "/session", origin: goodOrigin, status: 403,
			body: `{"error":"application \"4\" is disabled","code":"app_disabled","status":403}`, cors: [6]string{goodOrigin, "ETag", "Origin"}},
		{name: "a disabled application, to a foreign page", method: "POST", path: "/app/" + offKey + "/session", origin: "https://c.example", status: 403,
			body: `{"error":"application \"4\" is disabled","code":"app_disabled","status":403}`, cors: [6]string{2: "Origin"}},
		{name: "a foreign origin", method: "POST", path: sessionPath, origin: "https://c.example", status: 403, body: foreign, cors: [6]string{2: "Origin"}},
		{name: "a foreign origin asks before", method: "OPTIONS", path: sessionPath, origin: "https://c.example", status: 403, body: foreign, cors: [6]string{2: "Origin"}},
		{name: "no origin at all", method: "POST", path: sessionPath, origin: "null", status: 403,
			body: `{"error":"origin \"null\" may not use this application: add it to apps.allowed_origins","code":"origin","status":403}`, cors: [6]string{2: "Origin"}},
		{name: "another method", method: "GET", path: sessionPath, origin: goodOrigin, status: 405, allow: "POST, OPTIONS",
			body: `{"error":"method \"GET\" is not allowed here: use POST, OPTIONS","code":"method","status":405}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.origin != "" {
				headers = []string{"Origin: " + c.origin}
			}
			got := doors(t).do(raw(c.method, c.path, "", headers...), c.method)
			got.want(t, c.status, c.body)
			if got.cors() != c.cors || got.header.Get("Allow") != c.allow {
				t.Errorf("CORS %q, Allow %q", got.cors(), got.header.Get("Allow"))
			}
		})
	}
}

// TestSessionPreflight: a browser asks before it posts with a content type.
func TestSessionPreflight(t *testing.T) {
	h := doors(t)
	c := h.dial()
	for range 2 { // the conversation goes on behind an answer without a body
		c.send(raw("OPTIONS", sessionPath, "", "Origin: "+goodOrigin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"))
		got := c.receive("OPTIONS")
		got.want(t, 204, "")
		if want := [6]string{goodOrigin, "ETag", "Origin", "POST", "Content-Type"}; got.cors() != want || got.header.Get("Access-Control-Max-Age") != "600" {
			t.Errorf("%q, Max-Age %q", got.cors(), got.header.Get("Access-Control-Max-Age"))
		}
		if got.header.Get("Content-Length") != "" || got.header.Get("Content-Type") != "" || got.header.Get("Transfer-Encoding") != "" {
			t.Errorf("headers of a body that is not there: %v", got.header)
		}
	}
}
