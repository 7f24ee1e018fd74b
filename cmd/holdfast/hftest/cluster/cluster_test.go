package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

func TestMain(m *testing.M) { os.Exit(hftest.Main(m)) }

// nodes starts so many servers on one Redis.
func nodes(t *testing.T, redis *redistest.Server, n int, flags ...string) []*hftest.Edge {
	t.Helper()
	list := make([]*hftest.Edge, n)
	for i := range list {
		list[i] = hftest.Start(t, hftest.Options{Flags: append([]string{"--redis", redis.URL(), "--loops", "1"}, flags...)})
	}
	return list
}

// numbered is an event with its place.
type numbered struct {
	Event string
	Data  string
	Seq   uint64
}

func numberedOf(t *testing.T, ev hftest.Event) numbered {
	t.Helper()
	var n struct {
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal([]byte(ev.Raw), &n); err != nil {
		t.Fatal(err)
	}
	return numbered{ev.Event, ev.Text(), n.Seq}
}

// eventually waits for what must come.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(hftest.Patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come", what)
		}
	}
}

// TestOrder: publishers on three nodes, subscribers on all: one order, no hole.
func TestOrder(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 3)
	var conns []*hftest.Conn
	for _, e := range edges {
		c := e.Dial()
		c.Subscribe("news")
		conns = append(conns, c)
	}
	const each = 100
	var all sync.WaitGroup
	for i, e := range edges {
		all.Go(func() {
			for n := range each {
				e.Publish("news", "e", fmt.Sprintf("%d-%d", i, n))
			}
		})
	}
	all.Wait()
	var first []numbered
	for _, c := range conns {
		var got []numbered
		for range 3 * each {
			got = append(got, numberedOf(t, c.WantEvent("e")))
		}
		for i, ev := range got {
			if ev.Seq != uint64(i+1) {
				t.Fatalf("event %d has number %d", i+1, ev.Seq)
			}
		}
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Error("two nodes have two orders")
		}
	}
}

// position reads a success.
func position(t *testing.T, ev hftest.Event) (epoch string, seq uint64, recovered *bool) {
	t.Helper()
	var m struct {
		Position struct {
			Epoch string `json:"epoch"`
			Seq   uint64 `json:"seq"`
		} `json:"position"`
		Recovered *bool `json:"recovered"`
	}
	if err := json.Unmarshal([]byte(ev.Raw), &m); err != nil {
		t.Fatal(err)
	}
	return m.Position.Epoch, m.Position.Seq, m.Recovered
}

func recover(c *hftest.Conn, channel, epoch string, seq uint64) hftest.Event {
	c.Send("pusher:subscribe", "", map[string]any{"channel": channel, "auth": "", "recover": map[string]any{"epoch": epoch, "seq": seq}})
	return c.WantEvent("pusher_internal:subscription_succeeded")
}

// TestRecoverOnAnotherNode: the node dies, and the client goes on elsewhere.
func TestRecoverOnAnotherNode(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 2)
	c := edges[0].Dial()
	epoch, _, _ := position(t, c.Subscribe("news"))
	edges[1].Publish("news", "e", "1")
	c.WantEvent("e")
	edges[0].Kill()
	for n := 2; n <= 200; n++ {
		edges[1].Publish("news", "e", fmt.Sprint(n))
	}
	d := edges[1].Dial()
	if got, seq, recovered := position(t, recover(d, "news", epoch, 1)); recovered == nil || !*recovered || got != epoch || seq != 1 {
		t.Fatalf("%s:%d %v", got, seq, recovered)
	}
	for n := 2; n <= 200; n++ {
		if ev := numberedOf(t, d.WantEvent("e")); ev.Seq != uint64(n) || ev.Data != fmt.Sprint(n) {
			t.Fatalf("%+v, want %d", ev, n)
		}
	}
	edges[1].Publish("news", "e", "201")
	if ev := numberedOf(t, d.WantEvent("e")); ev.Seq != 201 {
		t.Fatalf("%+v", ev)
	}
}

// TestRedisRestarts: sockets stay, publishes are answered 503, and afterwards the epoch is
// another one: nobody is told that it missed nothing.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 2)
	c := edges[0].Dial()
	epoch, _, _ := position(t, c.Subscribe("news"))
	edges[1].Publish("news", "e", "1")
	c.WantEvent("e")
	redis.Kill()
	publish := map[string]any{"name": "e", "data": "x", "channels": []string{"news"}}
	began := time.Now()
	r := edges[1].Call(http.MethodPost, "/events", nil, publish)
	if r.Status != 503 || !strings.Contains(r.Body, `"code":"broker_unavailable"`) || r.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the answer took %s, redis.publish_timeout is 2s", d)
	}
	c.Settled() // it is served
	redis.Run()
	ev := c.WantEvent("pusher_internal:position")
	again, seq, _ := position(t, ev)
	if again == epoch || seq != 1 || !strings.Contains(ev.Raw, `"reason":"epoch"`) {
		t.Errorf("%s", ev.Raw)
	}
	eventually(t, "a publish is taken", func() bool { return edges[1].Call(http.MethodPost, "/events", nil, publish).Status == 200 })
	c.WantEvent("e")
	d := edges[1].Dial()
	if _, _, recovered := position(t, recover(d, "news", epoch, 1)); recovered == nil || *recovered {
		t.Error("recovered over a restart of Redis")
	}
}

func member(id string) string { return fmt.Sprintf(`{"user_id":%q,"user_info":{"n":%q}}`, id, id) }

// TestPresence: members of two nodes, a killed node, and the queries of the API.
func TestPresence(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 3, "--set", "redis.lease=3s")
	a := edges[0].Dial()
	a.SubscribeAs("presence-room", member("a"))
	b := edges[1].Dial()
	if list := b.SubscribeAs("presence-room", member("b")).Text(); !strings.Contains(list, `"a":{"n":"a"}`) || !strings.Contains(list, `"count":2`) {
		t.Errorf("%s", list)
	}
	if ev := a.WantEvent("pusher_internal:member_added"); ev.Text() != `{"user_id":"b","user_info":{"n":"b"}}` {
		t.Errorf("%s", ev.Raw)
	}
	c := edges[2].Dial()
	c.SubscribeAs("presence-room", member("a")) // the same user on a third node
	c2 := edges[2].Dial()
	c2.SubscribeAs("presence-room", member("c"))
	for _, one := range []*hftest.Conn{a, b, c} {
		if ev := one.WantEvent("pusher_internal:member_added"); !strings.Contains(ev.Text(), `"c"`) {
			t.Errorf("%s", ev.Raw)
		}
	}

	query := func(path string, values url.Values) string {
		t.Helper()
		r := edges[1].Call(http.MethodGet, path, values, "")
		if r.Status != 200 {
			t.Fatalf("%s: %d %s", path, r.Status, r.Body)
		}
		return r.Body
	}
	if got := query("/channels/presence-room", url.Values{"info": {"user_count"}}); got != `{"occupied":true,"user_count":3}` {
		t.Errorf("%s", got)
	}
	a.Subscribe("news")
	c.Subscribe("news")
	if got := query("/channels/news", url.Values{"info": {"subscription_count"}}); got != `{"occupied":true,"subscription_count":2}` {
		t.Errorf("%s", got)
	}
	if got := query("/channels", url.Values{"filter_by_prefix": {"presence-"}, "info": {"user_count"}}); got != `{"channels":{"presence-room":{"user_count":3}}}` {
		t.Errorf("%s", got)
	}
	if got := query("/connections", nil); got != `{"connections":4}` {
		t.Errorf("%s", got)
	}
	users := query("/channels/presence-room/users", nil)
	for _, id := range []string{"a", "b", "c"} {
		if !strings.Contains(users, fmt.Sprintf(`{"id":%q}`, id)) {
			t.Errorf("%s", users)
		}
	}

	edges[2].Kill()
	for _, one := range []*hftest.Conn{a, b} {
		if ev := one.WantEvent("pusher_internal:member_removed"); ev.Text() != `{"user_id":"c"}` {
			t.Errorf("%s", ev.Raw)
		}
	}
	b.Unsubscribe("presence-room")
	if ev := a.WantEvent("pusher_internal:member_removed"); ev.Text() != `{"user_id":"b"}` {
		t.Errorf("%s", ev.Raw)
	}
}

// TestSubscriptionCounts: subscribers are told how many there are on all nodes, also when
// one of these dies.
func TestSubscriptionCounts(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := make([]*hftest.Edge, 2)
	for i := range edges {
		edges[i] = hftest.Start(t, hftest.Options{
			Config: fmt.Sprintf("[[apps]]\nid = %q\nkey = %q\nsecret = %q\nsubscription_count = true\n", hftest.AppID, hftest.AppKey, hftest.AppSecret),
			Flags:  []string{"--redis", redis.URL(), "--loops", "1", "--set", "redis.lease=3s"},
		})
	}
	wantCount := func(c *hftest.Conn, n int) {
		t.Helper()
		for want := fmt.Sprintf(`{"subscription_count":%d}`, n); c.WantEvent("pusher_internal:subscription_count").Text() != want; {
		}
	}
	a := edges[0].Dial()
	a.Subscribe("news")
	wantCount(a, 1)
	b, c := edges[1].Dial(), edges[1].Dial()
	b.Subscribe("news")
	c.Subscribe("news")
	for _, one := range []*hftest.Conn{a, b, c} {
		wantCount(one, 3)
	}
	c.Unsubscribe("news")
	wantCount(a, 2)
	edges[1].Kill()
	wantCount(a, 1)
}

// TestExclusionAndClientEvents: who sent an event, on whatever node, does not get it.
func TestExclusionAndClientEvents(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 2)
	a, b := edges[0].Dial(), edges[1].Dial()
	a.Subscribe("private-a")
	b.Subscribe("private-a")
	body := map[string]any{"name": "e", "data": "x", "channels": []string{"private-a"}, "socket_id": a.SocketID}
	if r := edges[1].Call(http.MethodPost, "/events", nil, body); r.Status != 200 {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	b.WantEvent("e")
	a.WantEvent("pusher_internal:position")
	a.Send("client-x", "private-a", map[string]int{"n": 1})
	if ev := b.WantEvent("client-x"); ev.Text() != `{"n":1}` {
		t.Errorf("%s", ev.Raw)
	}
	a.Settled() // it did not get its own
}

// TestTerminate: a user is signed in on one node, and terminated through another.
func TestTerminate(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	edges := nodes(t, redis, 2)
	a := edges[0].Dial()
	a.SignIn(`{"id":"u1"}`)
	eventually(t, "the user is known", func() bool {
		return strings.Contains(edges[0].Metrics(), `holdfast_broker_channels_followed 1`)
	})
	if r := edges[1].Call(http.MethodPost, "/users/u1/terminate_connections", nil, map[string]any{}); r.Status != 200 {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	a.WantError(4009)
	a.WantClose(4009)
}

func TestUnfitRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	out, err := exec.Command(hftest.Program(), "serve", "--listen", "127.0.0.1:0", "--admin-listen", "", "--data-dir", t.TempDir(), "--redis", redis.URL()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "maxmemory-policy") || !strings.Contains(string(out), "noeviction") {
		t.Errorf("%v: %s", err, out)
	}
}
