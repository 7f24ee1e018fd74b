package api

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

const eventsPath = "/apps/3/events"

// event is a valid body with one member replaced or added.
func event(member, value string) string {
	members := map[string]string{"name": `"x"`, "data": `"{}"`, "channel": `"a"`}
	members[member] = value
	if member == "channels" {
		delete(members, "channel")
	}
	var b strings.Builder
	for _, m := range []string{"name", "data", "channel", "channels", "socket_id", "info", "durable", "idempotency_key", "tag"} {
		if v := members[m]; v != "" {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + m + `":` + v)
		}
	}
	return "{" + b.String() + "}"
}

// TestErrorsByteForByte reproduces every error code with its status and whole body.
func TestErrorsByteForByte(t *testing.T) {
	post := func(path, body string) func(*harness) reply {
		return func(h *harness) reply { return h.post(path, body) }
	}
	get := func(path, query string) func(*harness) reply {
		return func(h *harness) reply { return h.get(path, query) }
	}
	send := func(raw string) func(*harness) reply {
		return func(h *harness) reply { return h.do(raw, "POST") }
	}
	long := strings.Repeat("n", 201)
	many := func(n int, of string) string { return "[" + strings.TrimSuffix(strings.Repeat(of+",", n), ",") + "]" }
	item := `{"name":"x","data":"","channel":"a"}`

	for _, c := range []struct {
		name    string
		prepare func(*harness)
		ask     func(*harness) reply
		status  int
		body    string
		header  string // "Name: value" that the answer must carry
	}{
		{name: "bad_request", ask: send("POST /apps/3/events\r\n\r\n"), status: 400,
			body: `{"error":"this is no HTTP/1.1 request that the API can read","code":"bad_request","status":400}`},
		{name: "bad_json empty", ask: post(eventsPath, ""), status: 400,
			body: `{"error":"the request body is empty: a JSON object is expected","code":"bad_json","status":400}`},
		{name: "bad_json cut off", ask: post(eventsPath, `{"name":"x"`), status: 400,
			body: `{"error":"the request body is not JSON: it ends at byte 11 inside a value","code":"bad_json","status":400}`},
		{name: "bad_json duplicate member", ask: post(eventsPath, `{"name":"x","name":"y"}`), status: 400,
			body: `{"error":"the request body gives a member name twice, at byte 12","code":"bad_json","status":400}`},
		{name: "bad_json duplicate member deep inside", ask: post(eventsPath, `{"tag":{"a":1,"a":2}}`), status: 400,
			body: `{"error":"the request body gives a member name twice, at byte 14","code":"bad_json","status":400}`},
		{name: "bad_json invalid UTF-8", ask: post(eventsPath, "{\"name\":\"\xff\"}"), status: 400,
			body: `{"error":"the request body is not JSON: invalid UTF-8 at byte 9","code":"bad_json","status":400}`},
		{name: "bad_json goes on", ask: post(eventsPath, event("tag", "1")+"{}"), status: 400,
			body: `{"error":"the request body goes on after its JSON object","code":"bad_json","status":400}`},
		{name: "bad_json not an object", ask: post(eventsPath, `[]`), status: 400,
			body: `{"error":"the request body must be a JSON object, got an array","code":"bad_json","status":400}`},
		{name: "bad_json data is an object", ask: post(eventsPath, event("data", `{"id":1}`)), status: 400,
			body: `{"error":"data must be a JSON string, got an object: encode the payload first (JSON.stringify, json_encode)","code":"bad_json","status":400}`},
		{name: "bad_json name is a number", ask: post(eventsPath, event("name", `7`)), status: 400,
			body: `{"error":"name must be a JSON string, got a number","code":"bad_json","status":400}`},
		{name: "bad_json channels is a string", ask: post(eventsPath, event("channels", `"a"`)), status: 400,
			body: `{"error":"channels must be an array of strings, got a string","code":"bad_json","status":400}`},
		{name: "bad_json channels holds null", ask: post(eventsPath, event("channels", `["a",null]`)), status: 400,
			body: `{"error":"channels[1] must be a JSON string, got null","code":"bad_json","status":400}`},
		{name: "bad_json socket_id", ask: post(eventsPath, event("socket_id", `"12"`)), status: 400,
			body: `{"error":"socket_id \"12\" must be two numbers with a point between them","code":"bad_json","status":400}`},
		{name: "bad_json batch is an object", ask: post("/apps/3/batch_events", `{"batch":{}}`), status: 400,
			body: `{"error":"batch must be an array of events, got an object","code":"bad_json","status":400}`},
		{name: "bad_json event of a batch is a string", ask: post("/apps/3/batch_events", `{"batch":[`+item+`,"x"]}`), status: 400,
			body: `{"error":"batch[1] must be a JSON object, got a string","code":"bad_json","status":400}`},
		{name: "bad_json data in a batch is a number", ask: post("/apps/3/batch_events", `{"batch":[{"data":1}]}`), status: 400,
			body: `{"error":"batch[0]: data must be a JSON string, got a number: encode the payload first (JSON.stringify, json_encode)","code":"bad_json","status":400}`},
		{name: "bad_json durable in an event of a batch", ask: post("/apps/3/batch_events", `{"batch":[{"name":"x","data":"","channel":"a","durable":true}]}`), status: 400,
			body: `{"error":"batch[0]: durable stands at the top of a batch, not inside an event","code":"bad_json","status":400}`},
		{name: "bad_json terminate", ask: post("/apps/3/users/7/terminate_connections", `[]`), status: 400,
			body: `{"error":"the request body must be a JSON object, got an array","code":"bad_json","status":400}`},
		{name: "missing_field name", ask: post(eventsPath, event("name", `null`)), status: 400,
			body: `{"error":"name is missing: it is the event's name, a JSON string","code":"missing_field","status":400}`},
		{name: "missing_field data", ask: post(eventsPath, event("data", `null`)), status: 400,
			body: `{"error":"data is missing: it is the payload, a JSON string","code":"missing_field","status":400}`},
		{name: "missing_field channel", ask: post(eventsPath, event("channel", `null`)), status: 400,
			body: `{"error":"channel or channels is missing","code":"missing_field","status":400}`},
		{name: "missing_field channels empty", ask: post(eventsPath, event("channels", `[]`)), status: 400,
			body: `{"error":"channels is empty: name at least one channel","code":"missing_field","status":400}`},
		{name: "missing_field batch", ask: post("/apps/3/batch_events", `{}`), status: 400,
			body: `{"error":"batch is missing: it is the array of events","code":"missing_field","status":400}`},
		{name: "missing_field channel of a batch", ask: post("/apps/3/batch_events", `{"batch":[`+item+`,{"name":"x","data":""}]}`), status: 400,
			body: `{"error":"batch[1]: channel is missing","code":"missing_field","status":400}`},
		{name: "bad_channel charset", ask: post(eventsPath, event("channel", `"a b"`)), status: 400,
			body: `{"error":"channel name \"a b\" must be letters, digits and any of -_=@,.; or #server-to-user- and a user id","code":"bad_channel","status":400}`},
		{name: "bad_channel length", ask: post(eventsPath, event("channel", `"`+long+`"`)), status: 400,
			body: `{"error":"channel name \"` + long[:64] + `\"… is 201 bytes, limit 200: raise limits.channel_name_bytes","code":"bad_channel","status":400,"limit":200,"actual":201,"knob":"limits.channel_name_bytes"}`},
		{name: "bad_channel both members", ask: post(eventsPath, `{"name":"x","data":"","channel":"a","channels":["b"]}`), status: 400,
			body: `{"error":"both channel and channels are given: use one of them","code":"bad_channel","status":400}`},
		{name: "bad_channel channels in a batch", ask: post("/apps/3/batch_events", `{"batch":[{"name":"x","data":"","channels":["a"]}]}`), status: 400,
			body: `{"error":"batch[0]: channels is given: an event of a batch has one channel, named by channel","code":"bad_channel","status":400}`},
		{name: "bad_channel of a query", ask: get("/apps/3/channels/a!", ""), status: 400,
			body: `{"error":"channel name \"a!\" must be letters, digits and any of -_=@,.; or #server-to-user- and a user id","code":"bad_channel","status":400}`},
		{name: "bad_channel users of a public channel", ask: get("/apps/3/channels/a/users", ""), status: 400,
			body: `{"error":"channel \"a\" has no users: only presence channels do","code":"bad_channel","status":400}`},
		{name: "bad_event empty", ask: post(eventsPath, event("name", `""`)), status: 400,
			body: `{"error":"event name \"\" is not allowed","code":"bad_event","status":400}`},
		{name: "bad_event length", ask: post(eventsPath, event("name", `"`+long+`"`)), status: 400,
			body: `{"error":"event name \"` + long[:64] + `\"… is 201 bytes, limit 200: raise limits.event_name_bytes","code":"bad_event","status":400,"limit":200,"actual":201,"knob":"limits.event_name_bytes"}`},
		{name: "bad_info unknown on a publish", ask: post(eventsPath, event("info", `"user_count,age"`)), status: 400,
			body: `{"error":"info \"age\" is not known: it may be user_count, subscription_count, cache or position","code":"bad_info","status":400}`},
		{name: "bad_info unknown on a query", ask: get("/apps/3/channels/a", "info=age"), status: 400,
			body: `{"error":"info \"age\" is not known: it may be user_count, subscription_count, cache or position","code":"bad_info","status":400}`},
		{name: "bad_info user_count of a public channel", ask: get("/apps/3/channels/a", "info=user_count"), status: 400,
			body: `{"error":"info user_count: channel \"a\" cannot have it (presence channels do, their names begin with presence-)","code":"bad_info","status":400}`},
		{name: "bad_info position of a channel", ask: get("/apps/3/channels/a", "info=position"), status: 400,
			body: `{"error":"info position: channel \"a\" has no history: this server keeps no events; set enabled = true under [replay]","code":"bad_info","status":400}`},
		{name: "bad_info user_count of all channels", ask: get("/apps/3/channels", "info=user_count"), status: 400,
			body: `{"error":"info user_count: a list without filter_by_prefix cannot have it (presence channels do, their names begin with presence-)","code":"bad_info","status":400}`},
		{name: "bad_key member", ask: post(eventsPath, event("idempotency_key", `"k1"`)), status: 400,
			body: `{"error":"an idempotency key cannot be honoured: this server keeps no replay log to remember it in; set enabled = true under [replay], or leave the key out","code":"bad_key","status":400}`},
		{name: "bad_key header", ask: func(h *harness) reply {
			body := event("tag", "1")
			return h.do(raw("POST", eventsPath+"?"+sign(testKey, testSecret, "POST", eventsPath, "", body, testNow), body, "Idempotency-Key: k1"), "POST")
		}, status: 400,
			body: `{"error":"an idempotency key cannot be honoured: this server keeps no replay log to remember it in; set enabled = true under [replay], or leave the key out","code":"bad_key","status":400}`},
		{name: "bad_key inside a batch", ask: post("/apps/3/batch_events", `{"batch":[{"name":"x","data":"","channel":"a","idempotency_key":"k"}]}`), status: 400,
			body: `{"error":"batch[0]: idempotency_key stands at the top of a batch, not inside an event","code":"bad_key","status":400}`},
		{name: "too_many_channels", ask: post(eventsPath, event("channels", many(101, `"a"`))), status: 400,
			body: `{"error":"the event names 101 channels, limit 100: raise limits.event_channels","code":"too_many_channels","status":400,"limit":100,"actual":101,"knob":"limits.event_channels"}`},
		{name: "too_many_channels by far", ask: post(eventsPath, event("channels", many(1234, `"a"`))), status: 400,
			body: `{"error":"the event names 1,234 channels, limit 100: raise limits.event_channels","code":"too_many_channels","status":400,"limit":100,"actual":1234,"knob":"limits.event_channels"}`},
		{name: "too_many_events", ask: post("/apps/3/batch_events", `{"batch":`+many(12, item)+`}`), status: 400,
			body: `{"error":"the batch holds 12 events, limit 10: raise limits.batch_events","code":"too_many_events","status":400,"limit":10,"actual":12,"knob":"limits.batch_events"}`},
		{name: "bad_signature", ask: send(raw("GET", "/apps/3/channels?"+sign(testKey, "another", "GET", "/apps/3/channels", "", "", testNow), "")), status: 401,
			body: `{"error":"auth_signature does not match: check the secret, and that nothing on the way changes path, query or body","code":"bad_signature","status":401}`},
		{name: "bad_signature foreign key", ask: send(raw("GET", "/apps/3/channels?"+sign(offKey, testSecret, "GET", "/apps/3/channels", "", "", testNow), "")), status: 401,
			body: `{"error":"auth_key is not the key of this application","code":"bad_signature","status":401}`},
		{name: "stale_timestamp", ask: send(signed("GET", "/apps/3/channels", "", "", testNow.Add(-1234*time.Second))), status: 401,
			body: `{"error":"auth_timestamp is 1,234 s away from this server's clock, limit 600: set the clocks or raise limits.auth_window","code":"stale_timestamp","status":401,"limit":600,"actual":1234,"knob":"limits.auth_window"}`},
		{name: "app_disabled", ask: send(raw("GET", "/apps/4/channels?"+sign(offKey, offSecret, "GET", "/apps/4/channels", "", "", testNow), "")), status: 403,
			body: `{"error":"application \"4\" is disabled","code":"app_disabled","status":403}`},
		{name: "unknown_app", ask: post("/apps/5/events", `{}`), status: 404,
			body: `{"error":"application \"5\" is not known here","code":"unknown_app","status":404}`},
		{name: "not_found", ask: post("/apps/3/evnts", `{}`), status: 404,
			body: `{"error":"there is nothing at \"/apps/3/evnts\"","code":"not_found","status":404}`},
		{name: "not_found below a channel", ask: get("/apps/3/channels/a/events", ""), status: 404,
			body: `{"error":"there is nothing at \"/apps/3/channels/a/events\"","code":"not_found","status":404}`},
		{name: "not_found session without doors", ask: send(raw("POST", "/app/"+testKey+"/session", "")), status: 404,
			body: `{"error":"there is nothing at \"/app/` + testKey + `/session\"","code":"not_found","status":404}`},
		{name: "off history without a log", ask: get("/apps/3/channels/a/history", ""), status: 410,
			body: `{"error":"channel \"a\" has no history: this server keeps no events; set enabled = true under [replay]","code":"off","status":410}`},
		{name: "bad_info position of a list", ask: get("/apps/3/channels", "info=position"), status: 400,
			body: `{"error":"info position: a list cannot have it, ask for one channel","code":"bad_info","status":400}`},
		{name: "method", ask: get(eventsPath, ""), status: 405, header: "Allow: POST",
			body: `{"error":"method \"GET\" is not allowed here: use POST","code":"method","status":405}`},
		{name: "method of a query", ask: post("/apps/3/channels", "{}"), status: 405, header: "Allow: GET, HEAD",
			body: `{"error":"method \"POST\" is not allowed here: use GET, HEAD","code":"method","status":405}`},
		{name: "timeout", ask: func(h *harness) reply {
			c := h.dial(func(c net.Conn) net.Conn { return &timedOut{Conn: c, after: 1} })
			c.send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{")
			return c.receive("POST")
		}, status: 408,
			body: `{"error":"the request did not come whole in time","code":"timeout","status":408}`},
		{name: "data_too_large", ask: post(eventsPath, event("data", `"`+strings.Repeat("d", 10241)+`"`)), status: 413,
			body: `{"error":"event data is 10,241 bytes, limit 10,240: raise limits.event_data_bytes","code":"data_too_large","status":413,"limit":10240,"actual":10241,"knob":"limits.event_data_bytes"}`},
		{name: "body_too_large", ask: send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 262145\r\n\r\n"), status: 413,
			body: `{"error":"the request body is 262,145 bytes, limit 262,144: raise limits.body_bytes","code":"body_too_large","status":413,"limit":262144,"actual":262145,"knob":"limits.body_bytes"}`},
		{name: "body_too_large chunked", ask: send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n40001\r\n"), status: 413,
			body: `{"error":"the request body is over 262,144 bytes: raise limits.body_bytes","code":"body_too_large","status":413,"limit":262144,"actual":262145,"knob":"limits.body_bytes"}`},
		{name: "rate_limited", prepare: func(h *harness) {
			limits := testConfig().Limits
			limits.EventsPerSecond = 1
			if err := h.server.SetLimits(limits); err != nil {
				h.t.Fatal(err)
			}
			h.post(eventsPath, event("tag", "1")).want(h.t, 200, "{}")
		}, ask: post(eventsPath, event("tag", "1")), status: 429, header: "Retry-After: 1",
			body: `{"error":"the rate of application \"3\" is over 1 events a second: raise limits.api_events_per_second","code":"rate_limited","status":429,"limit":1,"actual":2,"knob":"limits.api_events_per_second"}`},
		{name: "head_too_large line", ask: send("GET /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: h\r\n\r\n"), status: 431,
			body: `{"error":"the request line is 5,014 bytes, limit 4,096: raise limits.request_line_bytes","code":"head_too_large","status":431,"limit":4096,"actual":5014,"knob":"limits.request_line_bytes"}`},
		{name: "head_too_large line without end", ask: send("GET /" + strings.Repeat("x", 13<<10)), status: 431,
			body: `{"error":"the request line is over 4,096 bytes: raise limits.request_line_bytes","code":"head_too_large","status":431,"limit":4096,"actual":4097,"knob":"limits.request_line_bytes"}`},
		{name: "head_too_large fields", ask: send("GET /up HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n"), status: 431,
			body: `{"error":"the fields of the request head are 9,016 bytes, limit 8,192: raise limits.head_bytes","code":"head_too_large","status":431,"limit":8192,"actual":9016,"knob":"limits.head_bytes"}`},
		{name: "head_too_large line before fields without end", ask: send("GET /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 13<<10)), status: 431,
			body: `{"error":"the request line is 5,014 bytes, limit 4,096: raise limits.request_line_bytes","code":"head_too_large","status":431,"limit":4096,"actual":5014,"knob":"limits.request_line_bytes"}`},
		{name: "head_too_large fields without end", ask: send("GET /up HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 13<<10)), status: 431,
			body: `{"error":"the fields of the request head are over 8,192 bytes: raise limits.head_bytes","code":"head_too_large","status":431,"limit":8192,"actual":8193,"knob":"limits.head_bytes"}`},
		{name: "head_too_large count", ask: send("GET /up HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 99) + "\r\n"), status: 431,
			body: `{"error":"the request head has 100 fields, limit 64: raise limits.head_count","code":"head_too_large","status":431,"limit":64,"actual":100,"knob":"limits.head_count"}`},
		{name: "log_unavailable", ask: post(eventsPath, event("durable", "true")), status: 503, header: "Retry-After: 1",
			body: `{"error":"durable events cannot be taken: this server keeps no replay log to store them in; set enabled = true under [replay]; nothing was published","code":"log_unavailable","status":503}`},
		{name: "log_unavailable batch", ask: post("/apps/3/batch_events", `{"durable":true,"batch":[`+item+`]}`), status: 503, header: "Retry-After: 1",
			body: `{"error":"durable events cannot be taken: this server keeps no replay log to store them in; set enabled = true under [replay]; nothing was published","code":"log_unavailable","status":503}`},
		{name: "broker_unavailable", prepare: func(h *harness) { h.router.busyAfter = 1 }, ask: post(eventsPath, event("tag", "1")), status: 503, header: "Retry-After: 1",
			body: `{"error":"too many events are waiting for delivery: nothing was delivered; try again in a second","code":"broker_unavailable","status":503}`},
		{name: "draining", prepare: func(h *harness) { h.server.Drain() }, ask: post(eventsPath, event("tag", "1")), status: 503, header: "Retry-After: 1",
			body: `{"error":"this server is about to end: publish to another one, or again in a second","code":"draining","status":503}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t)
			if c.prepare != nil {
				c.prepare(h)
			}
			before := len(h.router.events())
			got := c.ask(h)
			got.want(t, c.status, c.body)
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type is %q", ct)
			}
			if c.header != "" {
				name, value, _ := strings.Cut(c.header, ": ")
				if v := got.header.Get(name); v != value {
					t.Errorf("%s is %q, want %q", name, v, value)
				}
			}
			if c.status == 431 && !got.last {
				t.Error("the conversation goes on behind a head that was not read")
			}
			if n := len(h.router.events()); n != before {
				t.Errorf("a refused request published %d events", n-before)
			}
		})
	}
}

// timedOut is a connection whose reads run into a deadline after some of them.
type timedOut struct {
	net.Conn
	after int
}

func (c *timedOut) Read(p []byte) (int, error) {
	if c.after == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	c.after--
	return c.Conn.Read(p)
}

// TestOrderOfJudgement: of several faults the first in the documented order is the answer.
func TestOrderOfJudgement(t *testing.T) {
	wrong := func(path, body string) string {
		return raw("POST", path+"?"+sign(testKey, "another secret", "POST", path, "", body, testNow.Add(-time.Hour)), body)
	}
	for _, c := range []struct{ name, request, code string }{
		{"route before method and application", wrong("/apps/5/nothing", "{"), "not_found"},
		{"method before application", wrong("/apps/5/channels", "{"), "method"},
		{"application before signature", wrong("/apps/5/events", "{"), "unknown_app"},
		{"disabled before signature", wrong("/apps/4/events", "{"), "app_disabled"},
		{"signature before age", wrong("/apps/3/events", "{"), "bad_signature"},
		{"age before JSON", signed("POST", eventsPath, "", "{", testNow.Add(-time.Hour)), "stale_timestamp"},
		{"JSON before members", signed("POST", eventsPath, "", `{"name":1`, testNow), "bad_json"},
		{"members before names", signed("POST", eventsPath, "", `{"name":"","channel":"a b"}`, testNow), "missing_field"},
		{"channels before events", signed("POST", eventsPath, "", `{"name":"","data":"","channel":"a b"}`, testNow), "bad_channel"},
		{"names before sizes", signed("POST", eventsPath, "", `{"name":"","channel":"a","data":"`+strings.Repeat("d", 10241)+`"}`, testNow), "bad_event"},
		{"sizes before counts", signed("POST", eventsPath, "", `{"name":"x","channels":["a"`+strings.Repeat(`,"a"`, 100)+`],"data":"`+strings.Repeat("d", 10241)+`"}`, testNow), "data_too_large"},
		{"counts before what cannot be stored", signed("POST", eventsPath, "", `{"name":"x","channels":["a"`+strings.Repeat(`,"a"`, 100)+`],"data":"","durable":true}`, testNow), "too_many_channels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := start(t).do(c.request, "POST")
			if !strings.Contains(got.body, `"code":"`+c.code+`"`) {
				t.Errorf("want code %s, got %s", c.code, got.body)
			}
		})
	}
}

// TestLongTextOfClientIsCut: a sentence never grows with what a client sent.
func TestLongTextOfClientIsCut(t *testing.T) {
	got := start(t).do(raw("GET", "/"+strings.Repeat("é", 2000), ""), "GET")
	if got.status != 404 || len(got.body) > 250 {
		t.Errorf("got %d, a body of %d bytes: %s", got.status, len(got.body), got.body)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 10241: "10,241", 1234567: "1,234,567", -1: "-1", -123: "-123", -1234: "-1,234"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
}
