package hftest

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// Every refusal of a connect comes inside the WebSocket: 101, pusher:error, close
// with the same code. A bare HTTP refusal would make pusher-js retry for ever.
func TestRefusedConnects(t *testing.T) {
	edge := Start(t, Options{Config: `
[[apps]]
id = "app-id"
key = "app-key"
secret = "app-secret"
allowed_origins = ["https://a.example", "https://*.b.example"]

[[apps]]
id = "closed"
key = "closed-key"
secret = "closed-secret"
enabled = false
`})
	for name, c := range map[string]struct {
		target string
		origin string
		code   int // 0 = served
	}{
		"protocol 7":                 {"/app/app-key?protocol=7", "", 0},
		"protocol 6":                 {"/app/app-key?protocol=6", "", 0},
		"protocol 5":                 {"/app/app-key?protocol=5", "", 0},
		"no protocol is 7":           {"/app/app-key", "", 0},
		"other parameters":           {"/app/app-key?client=js&version=8.6.0&flash=false&protocol=7", "", 0},
		"unknown key":                {"/app/nobody?protocol=7", "", 4001},
		"disabled application":       {"/app/closed-key?protocol=7", "", 4003},
		"another path":               {"/elsewhere?protocol=7", "", 4005},
		"protocol that is no number": {"/app/app-key?protocol=seven", "", 4006},
		"protocol 4":                 {"/app/app-key?protocol=4", "", 4007},
		"protocol 8":                 {"/app/app-key?protocol=8", "", 4007},
		"allowed origin":             {"/app/app-key?protocol=7", "https://a.example", 0},
		"origin by wildcard":         {"/app/app-key?protocol=7", "https://x.b.example", 0},
		"two labels for one star":    {"/app/app-key?protocol=7", "https://x.y.b.example", 4009},
		"another scheme":             {"/app/app-key?protocol=7", "http://a.example", 4009},
		"another origin":             {"/app/app-key?protocol=7", "https://evil.example", 4009},
		"origin null":                {"/app/app-key?protocol=7", "null", 4009},
	} {
		t.Run(name, func(t *testing.T) {
			o := DialOptions{Target: c.target}
			if c.origin != "" {
				o.Header = http.Header{"Origin": {c.origin}}
			}
			conn := edge.DialRaw(o)
			if c.code == 0 {
				conn.WantEvent("pusher:connection_established")
				return
			}
			if message := conn.WantError(c.code); message == "" {
				t.Error("the error has no text")
			}
			conn.WantClose(c.code)
		})
	}
}

// One page's morning, on the raw wire: what the stock clients cannot show.
func TestSessionScript(t *testing.T) {
	edge := Start(t, Options{})
	a, b := edge.Dial(), edge.Dial()

	t.Log("a public channel answers with an empty object in a string")
	if ev := a.Subscribe("news"); ev.Text() != "{}" || !strings.HasPrefix(ev.Raw, `{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"`) {
		t.Errorf("success is %s", ev.Raw)
	}
	b.Subscribe("news")

	t.Log("data arrives byte for byte")
	const data = `{ "a" : 1,"b":"\u00e9\\ <é>" }`
	edge.Publish("news", `App\Events\X`, data)
	for _, c := range []*Conn{a, b} {
		if ev := c.WantEvent(`App\Events\X`); ev.Text() != data {
			t.Errorf("data is %s", ev.Raw)
		}
	}

	t.Log("a private channel wants a signature; the refusal names the reason")
	a.Send("pusher:subscribe", "", map[string]string{"channel": "private-a", "auth": "app-key:00"})
	if ev := a.WantEvent("pusher:subscription_error"); ev.Channel != "private-a" ||
		!strings.Contains(ev.Text(), `"type":"AuthError"`) || !strings.Contains(ev.Text(), `"status":401`) {
		t.Errorf("refusal is %s", ev.Raw)
	}
	a.Subscribe("private-a")
	b.Subscribe("private-a")

	t.Log("a client event of an object reaches the others as a string")
	a.Send("client-x", "private-a", map[string]int{"n": 1})
	if ev := b.WantEvent("client-x"); ev.Text() != `{"n":1}` || ev.Data[0] != '"' || ev.UserID != "" {
		t.Errorf("relayed as %s", ev.Raw)
	}

	t.Log("presence")
	if ev := a.SubscribeAs("presence-p", `{"user_id":"7","user_info":{"name":"Ann"}}`); ev.Text() !=
		`{"presence":{"ids":["7"],"hash":{"7":{"name":"Ann"}},"count":1}}` {
		t.Errorf("success is %s", ev.Raw)
	}
	b.SubscribeAs("presence-p", `{"user_id":9}`) // a number is a user id as well
	if ev := a.WantEvent("pusher_internal:member_added"); !strings.Contains(ev.Text(), `"user_id":"9"`) {
		t.Errorf("member_added is %s", ev.Raw)
	}

	t.Log("pings of both layers, and a message that is none")
	a.SendText(`{"event":"pusher:ping"}`)
	a.WantEvent("pusher:pong")
	if err := a.writeFrame(opPing, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if op, payload, err := a.readFrame(); op != opPong || string(payload) != "hello" || err != nil {
		t.Errorf("ping answered with opcode %d %q, %v", op, payload, err)
	}
	a.SendText(`{"event":`)
	a.WantError(4200)

	t.Log("a page that closes is answered, one that vanishes is noticed")
	b.Drop()
	if ev := a.WantEvent("pusher_internal:member_removed"); !strings.Contains(ev.Text(), `"user_id":"9"`) {
		t.Errorf("member_removed is %s", ev.Raw)
	}
	a.Settled()
	a.Close()
}

func TestCallsAreSignedAsTheSDKsDo(t *testing.T) {
	edge := Start(t, Options{})
	c := edge.Dial()
	c.Subscribe("presence-room")
	for name, r := range map[string]struct {
		got  Response
		want string
	}{
		"channels":      {edge.Call("GET", "/channels", url.Values{"filter_by_prefix": {"presence-"}, "info": {"user_count"}}, nil), `{"channels":{"presence-room":{"user_count":1}}}`},
		"channel":       {edge.Call("GET", "/channels/presence-room", nil, nil), `{"occupied":true}`},
		"users":         {edge.Call("GET", "/channels/presence-room/users", nil, nil), `{"users":[{"id":"1"}]}`},
		"connections":   {edge.Call("GET", "/connections", nil, nil), `{"connections":1}`},
		"nobody's user": {edge.Call("POST", "/users/u%2F1/terminate_connections", nil, "{}"), `{}`},
	} {
		if r.got.Status != http.StatusOK || r.got.Body != r.want {
			t.Errorf("%s: %d %s, want 200 %s", name, r.got.Status, r.got.Body, r.want)
		}
	}
	if r := edge.Request("GET", "/apps/app-id/channels?auth_key=app-key", ""); r.Status != http.StatusUnauthorized {
		t.Errorf("unsigned call: %d %s", r.Status, r.Body)
	}
}

func TestStopSaysGoodbyeAndKillDoesNot(t *testing.T) {
	edge := Start(t, Options{})
	var conns []*Conn
	for range 20 {
		conns = append(conns, edge.Dial())
	}
	edge.Signal(syscall.SIGTERM)
	for _, c := range conns {
		c.WantError(4200)
		c.WantClose(4200)
	}
	if code := edge.Wait(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}

	edge.Run()
	c := edge.Dial()
	edge.Kill()
	if ev, err := c.nextEvent(); err == nil {
		t.Errorf("a killed server said %s", ev.Raw)
	}
	edge.Run()
	edge.Dial().Subscribe("again")
}

func TestMetricsOfARunningServer(t *testing.T) {
	edge := Start(t, Options{})
	edge.Dial().Subscribe("news")
	text := edge.Metrics()
	for _, name := range []string{
		"holdfast_connections{", "holdfast_connections_max ", "holdfast_connections_opened_total", "holdfast_fds ", "holdfast_fds_max ",
		"holdfast_kernel_listen_overflows_total ", `holdfast_kernel_tcp_mem_pages{level="used"}`, `holdfast_kernel_tcp_sockets{kind="inuse"}`,
		"holdfast_kernel_tcp_retrans_segs_total ", "holdfast_handshakes_total{", "holdfast_subscriptions{", "holdfast_build_info{",
	} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}
