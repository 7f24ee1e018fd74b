package router

import (
	"testing"

	"github.com/holdfast-edge/holdfast/frame"
)

func TestEntrance(t *testing.T) {
	restricted := func(c *Config) {
		c.Apps = append(c.Apps,
			AppConfig{ID: "2", Key: "off", Secret: "s", Origins: []string{"*"}},
			AppConfig{ID: "3", Key: "strict", Secret: "s", Enabled: true, Origins: []string{"https://a.example"}},
		)
	}
	for _, c := range []struct {
		name, path, query, origin string
		reason                    frame.CloseReason // zero: served
	}{
		{name: "an ordinary client", path: "/app/app-key", query: "protocol=7&client=js&version=8.6.0&flash=false"},
		{name: "no query", path: "/app/app-key"},
		{name: "protocol 5", path: "/app/app-key", query: "protocol=5"},
		{name: "protocol 6", path: "/app/app-key", query: "client=x&protocol=6"},
		{name: "a name that ends like protocol", path: "/app/app-key", query: "xprotocol=1"},
		{name: "the first protocol counts", path: "/app/app-key", query: "protocol=7&protocol=2"},
		{name: "protocol 4", path: "/app/app-key", query: "protocol=4", reason: frame.UnsupportedVersion},
		{name: "protocol 8", path: "/app/app-key", query: "protocol=8", reason: frame.UnsupportedVersion},
		{name: "empty protocol", path: "/app/app-key", query: "protocol=", reason: frame.BadVersion},
		{name: "protocol without value", path: "/app/app-key", query: "protocol", reason: frame.BadVersion},
		{name: "protocol is a word", path: "/app/app-key", query: "protocol=seven", reason: frame.BadVersion},
		{name: "protocol with a sign", path: "/app/app-key", query: "protocol=%2B7", reason: frame.BadVersion},
		{name: "protocol is negative", path: "/app/app-key", query: "protocol=-7", reason: frame.BadVersion},
		{name: "a huge protocol", path: "/app/app-key", query: "protocol=99999999999999999999", reason: frame.BadVersion},
		{name: "no path", path: "", reason: frame.BadPath},
		{name: "another path", path: "/apps/app-key", reason: frame.BadPath},
		{name: "no key", path: "/app/", reason: frame.BadPath},
		{name: "more than a key", path: "/app/app-key/x", reason: frame.BadPath},
		{name: "a slash behind the key", path: "/app/app-key/", reason: frame.BadPath},
		{name: "an unknown key", path: "/app/nobody", reason: frame.UnknownApp},
		{name: "the path is judged before the version", path: "/x", query: "protocol=1", reason: frame.BadPath},
		{name: "the version is judged before the key", path: "/app/nobody", query: "protocol=1", reason: frame.UnsupportedVersion},
		{name: "a disabled application", path: "/app/off", reason: frame.AppDisabled},
		{name: "an allowed origin", path: "/app/strict", origin: "https://a.example"},
		{name: "no origin: not a browser", path: "/app/strict"},
		{name: "a foreign origin", path: "/app/strict", origin: "https://b.example", reason: frame.OriginRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 1, restricted)
			up := frame.Upgrade{Path: []byte(c.path), RawQuery: []byte(c.query)}
			if c.origin != "" {
				up.Origin = []byte(c.origin)
			}
			p := e.open(0, up)
			if c.reason == (frame.CloseReason{}) {
				p.established()
				if p.closed != nil {
					t.Fatalf("closed: %v", p.closed)
				}
			} else {
				p.wantError(int(c.reason.Code), c.reason.Text)
				p.wantClosed(c.reason)
			}
			p.wantNothing()
			p.drop()
			e.checkEmpty()
		})
	}
}

func TestAnApplicationsConnectionsAreBounded(t *testing.T) {
	e := newEdge(t, 2, withApp(func(a *AppConfig) { a.MaxConnections = 2 }))
	first := e.dial(0)
	e.dial(1)
	third := e.open(0, plainUpgrade())
	text := "connections: 3, limit 2 (apps.max_connections)"
	third.wantError(4100, text)
	third.wantClosed(frame.OverCapacity.With(text))
	if n := e.r.Connections(e.app); n != 2 {
		t.Fatalf("%d connections are counted, want 2", n)
	}

	t.Log("a refused connection takes no place, and one that leaves frees its own")
	third.drop()
	first.drop()
	e.dial(1)
	if n := e.r.Connections(e.app); n != 2 {
		t.Fatalf("%d connections are counted, want 2", n)
	}
	e.checkEmpty()
}

func TestSocketIDsAreUniqueAndVerified(t *testing.T) {
	e := newEdge(t, 3)
	seen := map[string]bool{}
	for i := range 300 {
		p := e.dial(i % 3)
		if seen[p.id] {
			t.Fatalf("socket id %s was given twice", p.id)
		}
		seen[p.id] = true
		loop, slot, gen, ok := e.r.socketIDs.Parse(p.id)
		if !ok || int(loop) != p.loop.id || slot != p.slot || gen != p.gen {
			t.Fatalf("socket id %s names %d/%d/%d, want %d/%d/%d", p.id, loop, slot, gen, p.loop.id, p.slot, p.gen)
		}
		if i%2 == 0 {
			// The slot is used again: the id must differ all the same.
			p.drop()
			heir := e.loops[(i+1)%3].openAt(p.slot, plainUpgrade())
			heir.established()
			if seen[heir.id] {
				t.Fatalf("socket id %s was given twice", heir.id)
			}
			seen[heir.id] = true
		}
	}
}

func TestCloseAll(t *testing.T) {
	e := newEdge(t, 2)
	var peers []*peer
	for i := range 300 {
		peers = append(peers, e.dial(i%2))
	}
	e.r.CloseAll()
	t.Log("it goes in pieces, and connections may end while it runs")
	e.loops[0].turn()
	e.loops[1].turn()
	open := 0
	for _, p := range peers {
		if p.closed == nil {
			open++
		}
	}
	if open == 0 || open == len(peers) {
		t.Fatalf("after one turn %d of %d are open", open, len(peers))
	}
	var gone []*peer
	for i, p := range peers {
		if i%3 == 0 {
			p.drop()
			gone = append(gone, p)
		}
	}
	t.Log("whoever comes meanwhile is sent away with 4100: 4200 would bring it back at once")
	late := e.open(0, plainUpgrade())
	late.wantError(4100, "server is shutting down")
	late.wantClosed(frame.OverCapacity.With("server is shutting down"))
	e.pump()
	for i, p := range peers {
		if i%3 == 0 {
			continue
		}
		p.wantError(4200, frame.Drain.Text)
		p.wantClosed(frame.Drain)
		p.wantNothing()
	}
	if len(gone) != 100 {
		t.Fatalf("%d left in between", len(gone))
	}
	e.checkEmpty()
}
