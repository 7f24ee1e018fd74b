package api

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// occupied is a harness with some channels.
func occupied(t *testing.T) *harness {
	h := start(t)
	h.router.channels = map[string]router.ChannelInfo{
		"a":             {Occupied: true, SubscriptionCount: 5},
		"b;c=d@e,f.g-_": {Occupied: true, SubscriptionCount: 1},
		"presence-a":    {Occupied: true, UserCount: 2, SubscriptionCount: 3},
		"presence-b":    {Occupied: true, UserCount: 1, SubscriptionCount: 1},
		"cache-x":       {Occupied: true, SubscriptionCount: 1, Cache: &router.CacheInfo{Data: `{"p":9}`, TTL: 59*time.Second + 1}},
		"cache-idle":    {Cache: &router.CacheInfo{Data: ``, TTL: time.Millisecond}},
	}
	h.router.members["presence-a"] = []string{"7", `a"b`, "é"}
	return h
}

func TestQueries(t *testing.T) {
	for _, c := range []struct{ name, path, query, want string }{
		{"all channels", "/apps/3/channels", "", `{"channels":{"a":{},"b;c=d@e,f.g-_":{},"cache-x":{},"presence-a":{},"presence-b":{}}}`},
		{"channels by prefix", "/apps/3/channels", "filter_by_prefix=presence-", `{"channels":{"presence-a":{},"presence-b":{}}}`},
		{"channels with user_count", "/apps/3/channels", "filter_by_prefix=presence-&info=user_count", `{"channels":{"presence-a":{"user_count":2},"presence-b":{"user_count":1}}}`},
		{"channels with a longer prefix", "/apps/3/channels", "filter_by_prefix=presence-b&info=user_count", `{"channels":{"presence-b":{"user_count":1}}}`},
		{"channels with subscription_count", "/apps/3/channels", "filter_by_prefix=a&info=subscription_count", `{"channels":{"a":{"subscription_count":5}}}`},
		{"channels with cache", "/apps/3/channels", "filter_by_prefix=cache-&info=subscription_count,cache", `{"channels":{"cache-x":{"subscription_count":1,"cache":{"data":"{\"p\":9}","ttl":60}}}}`},
		{"no channels", "/apps/3/channels", "filter_by_prefix=zzz", `{"channels":{}}`},
		{"a channel", "/apps/3/channels/a", "", `{"occupied":true}`},
		{"a channel with info", "/apps/3/channels/a", "info=subscription_count", `{"occupied":true,"subscription_count":5}`},
		{"a presence channel", "/apps/3/channels/presence-a", "info=user_count", `{"occupied":true,"user_count":2}`},
		{"a cache channel", "/apps/3/channels/cache-x", "info=cache,subscription_count", `{"occupied":true,"subscription_count":1,"cache":{"data":"{\"p\":9}","ttl":60}}`},
		{"a cache channel without subscribers", "/apps/3/channels/cache-idle", "info=cache", `{"occupied":false,"cache":{"data":"","ttl":1}}`},
		{"a cache channel without an event", "/apps/3/channels/cache-none", "info=cache", `{"occupied":false,"cache":null}`},
		{"a channel without subscribers", "/apps/3/channels/none", "", `{"occupied":false}`},
		{"a channel without subscribers, counted", "/apps/3/channels/none", "info=subscription_count", `{"occupied":false,"subscription_count":0}`},
		{"a channel of a user", "/apps/3/channels/%23server-to-user-7", "info=subscription_count", `{"occupied":false,"subscription_count":0}`},
		{"users", "/apps/3/channels/presence-a/users", "", `{"users":[{"id":"7"},{"id":"a\"b"},{"id":"é"}]}`},
		{"no users", "/apps/3/channels/presence-none/users", "", `{"users":[]}`},
		{"connections", "/apps/3/connections", "", `{"connections":19000}`},
	} {
		t.Run(c.name, func(t *testing.T) { occupied(t).get(c.path, c.query).want(t, 200, c.want) })
	}
	t.Run("a percent-encoded channel name", func(t *testing.T) {
		occupied(t).get("/apps/3/channels/b%3Bc=d%40e,f.g-_", "").want(t, 200, `{"occupied":true}`)
	})
	t.Run("a percent-encoded prefix", func(t *testing.T) {
		h := occupied(t)
		path := "/apps/3/channels"
		plain := "auth_key=" + testKey + "&auth_timestamp=1353088179&auth_version=1.0&filter_by_prefix=b;c"
		sent := strings.Replace(plain, ";", "%3B", 1)
		h.do(raw("GET", path+"?"+sent+"&auth_signature="+hmacHex(testSecret, "GET\n"+path+"\n"+plain), ""), "GET").
			want(t, 200, `{"channels":{"b;c=d@e,f.g-_":{}}}`)
	})
	t.Run("only what was asked is looked up", func(t *testing.T) {
		h := occupied(t)
		h.get("/apps/3/channels", "filter_by_prefix=presence-")
		if h.router.wanted != 0 {
			t.Errorf("wanted %b", h.router.wanted)
		}
	})
}

// TestInfoOfKinds: each attribute on each kind of channel and on each kind of prefix.
func TestInfoOfKinds(t *testing.T) {
	const user, subs, cache = "user_count", "subscription_count", "cache"
	for _, c := range []struct {
		channel string
		can     string // attributes that the channel, and a list with this prefix, can have
		list    string // the same of the list, where it differs
	}{
		{channel: "a", can: subs},
		{channel: "private-a", can: subs},
		{channel: "private-encrypted-a", can: subs},
		{channel: "presence-a", can: user},
		{channel: "cache-a", can: subs + " " + cache},
		{channel: "private-cache-a", can: subs + " " + cache},
		{channel: "private-encrypted-cache-a", can: subs + " " + cache},
		{channel: "presence-cache-a", can: user + " " + cache},
		{channel: "my-cache-a", can: subs},
		{channel: "presence", can: subs, list: "-"},
		{channel: "pre", can: subs, list: "-"},
		{channel: "cache", can: subs},
	} {
		for _, attribute := range []string{user, subs, cache, "position"} {
			for path, can := range map[string]string{"/apps/3/channels/" + c.channel: c.can, "/apps/3/channels": c.list} {
				query := "info=" + attribute
				if path == "/apps/3/channels" {
					query = "filter_by_prefix=" + c.channel + "&" + query
					if can == "" {
						can = c.can
					}
				}
				want := 400
				for _, a := range strings.Fields(can) {
					if a == attribute {
						want = 200
					}
				}
				got := start(t).get(path, query)
				if got.status != want || want == 400 && !strings.Contains(got.body, `"code":"bad_info"`) {
					t.Errorf("%s?%s: got %d %s, want %d", path, query, got.status, got.body, want)
				}
			}
		}
	}
}

// TestOverTheRouter: the real router behind the API, as far as it goes without
// connections. What a cache channel was sent is there at once.
func TestOverTheRouter(t *testing.T) {
	h := start(t)
	h.server.router = testRouter(t)
	h.get("/apps/3/channels", "").want(t, 200, `{"channels":{}}`)
	h.get("/apps/3/connections", "").want(t, 200, `{"connections":0}`)
	h.get("/apps/3/channels/presence-a/users", "").want(t, 200, `{"users":[]}`)
	h.get("/apps/3/channels/cache-a", "info=cache,subscription_count").want(t, 200, `{"occupied":false,"subscription_count":0,"cache":null}`)
	h.post(eventsPath, `{"name":"x","data":"{\"p\":9}","channels":["a","cache-a","presence-a"],"info":"cache,user_count"}`).
		want(t, 200, `{"channels":{"a":{},"cache-a":{"cache":{"data":"{\"p\":9}","ttl":1800}},"presence-a":{"user_count":0}}}`)
	h.post("/apps/3/users/7/terminate_connections", "{}").want(t, 200, `{}`)
}

// TestPathPrefix: it is taken off before routing and is no part of what is signed.
func TestPathPrefix(t *testing.T) {
	h := start(t, func(c *Config) { c.PathPrefix = "/ws" })
	body := event("tag", "1")
	h.do(raw("GET", "/ws/up", ""), "GET").want(t, 200, `{"health":"OK"}`)
	h.do(raw("POST", "/ws"+eventsPath+"?"+sign(testKey, testSecret, "POST", eventsPath, "", body, testNow), body), "POST").want(t, 200, `{}`)
	for _, path := range []string{"/up", "/wsup", "/ws", "/ws/ws/up", "/WS/up"} {
		if got := h.do(raw("GET", path, ""), "GET"); got.status != 404 {
			t.Errorf("%s: got %d", path, got.status)
		}
	}
	if got := h.do(raw("POST", "/ws"+eventsPath+"?"+sign(testKey, testSecret, "POST", "/ws"+eventsPath, "", body, testNow), body), "POST"); got.status != 401 {
		t.Errorf("signed with the prefix: got %d", got.status)
	}
}

func TestLocate(t *testing.T) {
	for target, want := range map[string]place{
		"/up":                                   {route: routeUp, path: "/up"},
		"/up?x=1":                               {route: routeUp, path: "/up", query: "x=1"},
		"/up/":                                  {path: "/up/"},
		"":                                      {},
		"*":                                     {path: "*"},
		"http://h/up":                           {path: "http://h/up"},
		"/apps":                                 {path: "/apps"},
		"/apps/":                                {path: "/apps/"},
		"/apps/3":                               {path: "/apps/3"},
		"/apps/3/":                              {path: "/apps/3/"},
		"/apps//events":                         {path: "/apps//events"},
		"/apps/3/events":                        {route: routeEvents, path: "/apps/3/events", app: "3"},
		"/apps/3/events/":                       {path: "/apps/3/events/"},
		"//apps/3/events":                       {path: "//apps/3/events"},
		"/apps/3/../4/events":                   {path: "/apps/3/../4/events"},
		"/apps/a%20b/events?a=b?c":              {route: routeEvents, path: "/apps/a%20b/events", query: "a=b?c", app: "a b"},
		"/apps/3/batch_events":                  {route: routeBatch, path: "/apps/3/batch_events", app: "3"},
		"/apps/3/connections":                   {route: routeConnections, path: "/apps/3/connections", app: "3"},
		"/apps/3/channels":                      {route: routeChannels, path: "/apps/3/channels", app: "3"},
		"/apps/3/channels/":                     {path: "/apps/3/channels/"},
		"/apps/3/channels/a":                    {route: routeChannel, path: "/apps/3/channels/a", app: "3", name: "a"},
		"/apps/3/channels/a%2Fb":                {route: routeChannel, path: "/apps/3/channels/a%2Fb", app: "3", name: "a/b"},
		"/apps/3/channels/a%zz":                 {route: routeChannel, path: "/apps/3/channels/a%zz", app: "3", name: "a%zz"},
		"/apps/3/channels/a/":                   {path: "/apps/3/channels/a/"},
		"/apps/3/channels/a/users":              {route: routeUsers, path: "/apps/3/channels/a/users", app: "3", name: "a"},
		"/apps/3/channels/a/users/":             {path: "/apps/3/channels/a/users/"},
		"/apps/3/channels/a/history":            {route: routeHistory, path: "/apps/3/channels/a/history", app: "3", name: "a"},
		"/apps/3/channels/a/history/":           {path: "/apps/3/channels/a/history/"},
		"/apps/3/channels/a%2Fb/history?since=": {route: routeHistory, path: "/apps/3/channels/a%2Fb/history", query: "since=", app: "3", name: "a/b"},
		"/app/k":                                {path: "/app/k"},
		"/app/k/":                               {path: "/app/k/"},
		"/app//session":                         {path: "/app//session"},
		"/app/k/session":                        {route: routeSession, path: "/app/k/session", app: "k"},
		"/app/k%20l/session?a=b":                {route: routeSession, path: "/app/k%20l/session", query: "a=b", app: "k l"},
		"/app/k/session/":                       {path: "/app/k/session/"},
		"/app/k/sse":                            {path: "/app/k/sse"},
		"/apps/3/channels//users":               {path: "/apps/3/channels//users"},
		"/apps/3/users/7":                       {path: "/apps/3/users/7"},
		"/apps/3/users//terminate_connections":  {path: "/apps/3/users//terminate_connections"},
		"/apps/3/users/7/terminate_connections": {route: routeTerminate, path: "/apps/3/users/7/terminate_connections", app: "3", name: "7"},
		"/apps/3/users/a/b/terminate_connections":   {route: routeTerminate, path: "/apps/3/users/a/b/terminate_connections", app: "3", name: "a/b"},
		"/apps/3/users/a%20b/terminate_connections": {route: routeTerminate, path: "/apps/3/users/a%20b/terminate_connections", app: "3", name: "a b"},
	} {
		if got := locate(target, ""); got != want {
			t.Errorf("locate(%q)\ngot  %+v\nwant %+v", target, got, want)
		}
	}
}
