package api

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// TestPublish: what reaches the router, for each way to say it.
func TestPublish(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       router.Event
	}{
		{"channel", `{"name":"x","data":"{}","channel":"a"}`, router.Event{Name: "x", Data: "{}", Channels: []string{"a"}}},
		{"channels in order", `{"name":"x","data":"{}","channels":["b","a","c"]}`, router.Event{Name: "x", Data: "{}", Channels: []string{"b", "a", "c"}}},
		{"a repeated channel gets one event", `{"name":"x","data":"{}","channels":["b","a","b","a"]}`, router.Event{Name: "x", Data: "{}", Channels: []string{"b", "a"}}},
		{"members in any order", `{"channels":["a"],"info":"","socket_id":"1.2","data":"d","name":"x"}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}, Except: "1.2"}},
		{"null is absent", `{"name":"x","data":"d","channel":"a","channels":null,"socket_id":null,"info":null,"durable":null,"idempotency_key":null}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"durable false", `{"name":"x","data":"d","channel":"a","durable":false}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"unknown members", `{"name":"x","data":"d","channel":"a","tags":{"a":[1,2,{"b":null}]},"extra":1.5}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"white space", " \t\r\n{ \"name\" : \"x\" , \"data\" : \"d\" , \"channel\" : \"a\" } \n", router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"an escaped member name", `{"\u006eame":"x","d\u0061ta":"d","channel":"a"}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"empty data", `{"name":"x","data":"","channel":"a"}`, router.Event{Name: "x", Channels: []string{"a"}}},
		{"data that is not JSON", `{"name":"x","data":"not json","channel":"a"}`, router.Event{Name: "x", Data: "not json", Channels: []string{"a"}}},
		{"data with every escape", `{"name":"x","data":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u2028 <é>","channel":"a"}`, router.Event{Name: "x", Data: "\"\\/\b\f\n\r\té😀\u2028 <é>", Channels: []string{"a"}}},
		{"data with a NUL", `{"name":"x","data":"\u0000","channel":"a"}`, router.Event{Name: "x", Data: "\x00", Channels: []string{"a"}}},
		{"an event name of Laravel", `{"name":"App\\Events\\OrderShipped","data":"d","channel":"private-App.Models.User.1"}`, router.Event{Name: `App\Events\OrderShipped`, Data: "d", Channels: []string{"private-App.Models.User.1"}}},
		{"to a user", `{"name":"x","data":"d","channel":"#server-to-user-7"}`, router.Event{Name: "x", Data: "d", Channels: []string{"#server-to-user-7"}}},
		{"encrypted to several", `{"name":"x","data":"d","channels":["private-encrypted-a","private-encrypted-b"]}`, router.Event{Name: "x", Data: "d", Channels: []string{"private-encrypted-a", "private-encrypted-b"}}},
		{"info that is empty", `{"name":"x","data":"d","channel":"a","info":""}`, router.Event{Name: "x", Data: "d", Channels: []string{"a"}}},
		{"the largest data", `{"name":"x","data":"` + strings.Repeat(`\u0061`, 10240) + `","channel":"a"}`, router.Event{Name: "x", Data: strings.Repeat("a", 10240), Channels: []string{"a"}}},
		{"the longest names", `{"name":"` + strings.Repeat("n", 200) + `","data":"","channel":"` + strings.Repeat("c", 200) + `"}`, router.Event{Name: strings.Repeat("n", 200), Channels: []string{strings.Repeat("c", 200)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t)
			h.post(eventsPath, c.body).want(t, 200, `{}`)
			got := h.router.events()
			if len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("published %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestPublishedTextSurvives: an event must not change when its conversation goes on.
func TestPublishedTextSurvives(t *testing.T) {
	h := start(t)
	c := h.dial()
	for i := range 9 {
		c.send(signed("POST", eventsPath, "", fmt.Sprintf(`{"name":"n%[1]d","data":"d%[1]d","channels":["a%[1]d","b%[1]d"],"socket_id":"%[1]d.%[1]d"}`, i), testNow))
		c.receive("POST").want(t, 200, `{}`)
	}
	for i, ev := range h.router.events() {
		want := router.Event{Name: fmt.Sprint("n", i), Data: fmt.Sprint("d", i), Channels: []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}, Except: fmt.Sprintf("%d.%d", i, i)}
		if !reflect.DeepEqual(ev, want) {
			t.Errorf("event %d became %+v", i, ev)
		}
	}
}

func TestPublishInfo(t *testing.T) {
	h := start(t)
	h.router.channels = map[string]router.ChannelInfo{
		"a":                {Occupied: true, SubscriptionCount: 5},
		"presence-b":       {Occupied: true, UserCount: 2, SubscriptionCount: 3},
		"cache-c":          {Occupied: true, SubscriptionCount: 1, Cache: &router.CacheInfo{Data: `{"p":"é"}`, TTL: 59500 * time.Millisecond}},
		"presence-cache-d": {UserCount: 0},
	}
	for _, c := range []struct{ name, body, want string }{
		{"user_count", `{"name":"x","data":"","channels":["a","presence-b"],"info":"user_count"}`,
			`{"channels":{"a":{},"presence-b":{"user_count":2}}}`},
		{"two attributes, each where it can be", `{"name":"x","data":"","channels":["presence-b","a"],"info":"subscription_count,user_count"}`,
			`{"channels":{"presence-b":{"user_count":2},"a":{"subscription_count":5}}}`},
		{"cache", `{"name":"x","data":"","channels":["cache-c","presence-cache-d","a"],"info":"cache"}`,
			`{"channels":{"cache-c":{"cache":{"data":"{\"p\":\"é\"}","ttl":60}},"presence-cache-d":{"cache":null},"a":{}}}`},
		{"position is left out", `{"name":"x","data":"","channel":"a","info":"position"}`, `{"channels":{"a":{}}}`},
		{"position beside another", `{"name":"x","data":"","channel":"a","info":"position,subscription_count"}`, `{"channels":{"a":{"subscription_count":5}}}`},
		{"blanks between the names", `{"name":"x","data":"","channel":"a","info":"position, subscription_count"}`, `{"channels":{"a":{"subscription_count":5}}}`},
		{"a repeated channel is named once", `{"name":"x","data":"","channels":["a","a"],"info":"subscription_count"}`, `{"channels":{"a":{"subscription_count":5}}}`},
		{"a channel of a user", `{"name":"x","data":"","channel":"#server-to-user-7","info":"subscription_count"}`, `{"channels":{"#server-to-user-7":{"subscription_count":0}}}`},
	} {
		t.Run(c.name, func(t *testing.T) { h.post(eventsPath, c.body).want(t, 200, c.want) })
	}
}

func TestBatch(t *testing.T) {
	item := func(i int, more string) string {
		return fmt.Sprintf(`{"name":"n%d","data":"%d","channel":"c%d"%s}`, i, i, i, more)
	}
	t.Run("published in order", func(t *testing.T) {
		h := start(t)
		h.post("/apps/3/batch_events", `{"batch":[`+item(2, "")+`,`+item(0, `,"socket_id":"1.2"`)+`,`+item(1, "")+`]}`).want(t, 200, `{}`)
		want := []router.Event{
			{Name: "n2", Data: "2", Channels: []string{"c2"}},
			{Name: "n0", Data: "0", Channels: []string{"c0"}, Except: "1.2"},
			{Name: "n1", Data: "1", Channels: []string{"c1"}},
		}
		if got := h.router.events(); !reflect.DeepEqual(got, want) {
			t.Errorf("published %+v", got)
		}
	})
	t.Run("info of some", func(t *testing.T) {
		h := start(t)
		h.router.channels["presence-b"] = router.ChannelInfo{Occupied: true, UserCount: 2}
		h.post("/apps/3/batch_events", `{"batch":[`+item(0, "")+`,{"name":"x","data":"","channel":"presence-b","info":"user_count"},`+item(1, `,"info":"position"`)+`]}`).
			want(t, 200, `{"batch":[{},{"user_count":2},{}]}`)
	})
	t.Run("empty", func(t *testing.T) {
		start(t).post("/apps/3/batch_events", `{"batch":[]}`).want(t, 200, `{}`)
	})
	t.Run("the largest", func(t *testing.T) {
		h := start(t)
		h.post("/apps/3/batch_events", `{"batch":[`+item(0, "")+strings.Repeat(","+item(1, ""), 9)+`]}`).want(t, 200, `{}`)
		if n := len(h.router.events()); n != 10 {
			t.Errorf("published %d", n)
		}
	})
	for name, last := range map[string]string{
		"a wrong channel":    `{"name":"x","data":"","channel":"a b"}`,
		"an empty name":      `{"name":"","data":"","channel":"a"}`,
		"missing data":       `{"name":"x","channel":"a"}`,
		"data too large":     `{"name":"x","data":"` + strings.Repeat("d", 10241) + `","channel":"a"}`,
		"an unknown info":    `{"name":"x","data":"","channel":"a","info":"y"}`,
		"broken JSON":        `{"name":"x"`,
		"a wrong socket id":  `{"name":"x","data":"","channel":"a","socket_id":"x"}`,
		"an idempotency key": `{"name":"x","data":"","channel":"a","idempotency_key":"k"}`,
	} {
		t.Run("all or nothing: "+name, func(t *testing.T) {
			h := start(t)
			got := h.post("/apps/3/batch_events", `{"batch":[`+item(0, "")+`,`+item(1, "")+`,`+last+`]}`)
			if got.status < 400 || len(h.router.events()) != 0 {
				t.Errorf("got %d %s, published %d", got.status, got.body, len(h.router.events()))
			}
			if name != "broken JSON" && !strings.Contains(got.body, `"error":"batch[2]: `) {
				t.Errorf("the sentence does not name the event: %s", got.body)
			}
		})
	}
	t.Run("a full loop in the middle is told", func(t *testing.T) {
		h := start(t)
		h.router.busyAfter = 3
		got := h.post("/apps/3/batch_events", `{"batch":[`+item(0, "")+`,`+item(1, "")+`,`+item(2, "")+`]}`)
		got.want(t, 503, `{"error":"too many events are waiting for delivery: the first 2 of 3 events were delivered; try again in a second","code":"broker_unavailable","status":503}`)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
	})
}

// TestRate: events are counted, not requests; queries are free; each second brings
// as many as the limit says; a batch beyond it is paid later.
func TestRate(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.EventsPerSecond = 10 })
	one := func() int { return h.post(eventsPath, event("tag", "1")).status }
	batch := func(n int) int {
		return h.post("/apps/3/batch_events", `{"batch":[`+strings.TrimSuffix(strings.Repeat(`{"name":"x","data":"","channel":"a"},`, n), ",")+`]}`).status
	}
	for i := range 10 {
		if s := one(); s != 200 {
			t.Fatalf("event %d of the first burst: %d", i, s)
		}
	}
	if s := one(); s != 429 {
		t.Fatalf("the eleventh event: %d", s)
	}
	h.get("/apps/3/connections", "").want(t, 200, `{"connections":19000}`)

	t.Log("a second later the burst is full again; a batch of 10 takes it whole")
	h.clock.Advance(time.Second)
	if s := batch(10); s != 200 {
		t.Fatalf("batch: %d", s)
	}
	if s := one(); s != 429 {
		t.Fatalf("after the batch: %d", s)
	}

	t.Log("a batch that passed on its first event goes into debt")
	h.clock.Advance(100 * time.Millisecond)
	if s := batch(10); s != 200 {
		t.Fatalf("batch on one event: %d", s)
	}
	h.clock.Advance(500 * time.Millisecond)
	if s := one(); s != 429 {
		t.Fatalf("in debt: %d", s)
	}
	h.clock.Advance(500 * time.Millisecond)
	if s := one(); s != 200 {
		t.Fatalf("debt paid: %d", s)
	}

	t.Log("switched off, nothing is counted")
	if err := h.server.SetLimits(testConfig().Limits); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if s := one(); s != 200 {
			t.Fatalf("without a limit: %d", s)
		}
	}
}

// TestDrainStopsPublishing: what is under way is answered, queries go on.
func TestDrainStopsPublishing(t *testing.T) {
	h := start(t)
	h.post(eventsPath, event("tag", "1")).want(t, 200, `{}`)
	h.server.Drain()
	if got := h.post("/apps/3/batch_events", `{"batch":[{"name":"x","data":"","channel":"a"}]}`); got.status != 503 || got.header.Get("Retry-After") != "1" {
		t.Errorf("got %d", got.status)
	}
	h.get("/apps/3/connections", "").want(t, 200, `{"connections":19000}`)
	if n := len(h.router.events()); n != 1 {
		t.Errorf("published %d", n)
	}
}
