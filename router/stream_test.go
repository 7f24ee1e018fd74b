package router

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/router/auth"
)

const testSession = "92113.77120"

func withSessions(c *Config) {
	c.CheckSession = func(id string) error {
		switch id {
		case testSession:
			return nil
		case "1.1":
			return auth.ErrSessionExpired
		}
		return errors.New("forged")
	}
}

// get sends a request for a stream.
func (e *edge) get(loop int, target string, more ...func(*frame.StreamRequest)) *peer {
	e.t.Helper()
	e.slots++
	e.gens++
	l := e.loops[loop]
	p := &peer{e: e, loop: l, slot: e.slots, gen: e.gens, http: true, held: true}
	l.peers[p.slot] = p
	path, query, _ := strings.Cut(target, "?")
	if !IsStream([]byte(path)) {
		e.t.Fatalf("%s is no stream", path)
	}
	req := &frame.StreamRequest{Path: []byte(path), RawQuery: []byte(query), Loop: loop, Slot: p.slot, Gen: p.gen, KeepAlive: true}
	for _, m := range more {
		m(req)
	}
	p.period, _ = l.s.OpenStream(e.now, req)
	e.pump()
	return p
}

func lastEventID(id string) func(*frame.StreamRequest) {
	return func(r *frame.StreamRequest) { r.LastEventID = []byte(id) }
}

func ifNoneMatch(tag string) func(*frame.StreamRequest) {
	return func(r *frame.StreamRequest) { r.IfNoneMatch = []byte(tag) }
}

// takeRaw returns what a stream was sent since the last time.
func (p *peer) takeRaw() string {
	raw := p.raw
	p.raw = ""
	return raw
}

func (p *peer) wantHead() {
	p.e.t.Helper()
	raw := p.takeRaw()
	head, rest, _ := strings.Cut(raw, "\r\n\r\n")
	want := "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nConnection: close"
	retry := regexp.MustCompile(`^retry: ([1-4]\d\d\d|5000)\n\n`)
	if head != want || !retry.MatchString(rest) {
		p.e.t.Fatalf("head %q", raw)
	}
	p.raw = retry.ReplaceAllString(rest, "")
}

func (p *peer) wantSent(want string) {
	p.e.t.Helper()
	if got := p.takeRaw(); got != want {
		p.e.t.Fatalf("sent\n%q\nwant\n%q", got, want)
	}
}

// block is one event of a stream.
func block(id, text string) string {
	if id != "" {
		id = "id: " + id + "\n"
	}
	return id + "data: " + text + "\n\n"
}

func numbered(channel string, seq int) string {
	return fmt.Sprintf(`{"event":"e","channel":%s,"data":"%d","seq":%d}`, quote(channel), seq, seq)
}

func success(channel, rest string) string {
	return fmt.Sprintf(`{"event":"pusher_internal:subscription_succeeded","channel":%s,"data":"{}"%s}`, quote(channel), rest)
}

func TestEventStream(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 2, withLog(log), withSessions)
	p := e.get(0, "/app/app-key/sse?channel=a&channel=b")
	p.wantHead()
	at := func(seq int) string { return fmt.Sprintf(`,"position":{"epoch":"lifelife1","seq":%d}`, seq) }
	p.wantSent(block("", success("a", at(0))) + block("lifelife1:0,lifelife1:0", success("b", at(0))))
	e.publishRun("b", 1, 1)
	e.publishRun("a", 1, 2)
	p.wantSent(block("lifelife1:0,lifelife1:1", numbered("b", 1)) + block("lifelife1:1,lifelife1:1", numbered("a", 1)) +
		block("lifelife1:2,lifelife1:1", numbered("a", 2)))
	if p.period != 25 {
		t.Errorf("a comment every %d s", p.period)
	}
	p.loop.s.Ping(p.slot)
	p.wantSent(":\n\n")
	p.drop()

	t.Log("it comes back with the last id, and misses nothing")
	e.publishRun("a", 3, 80)
	for name, c := range map[string]*peer{
		"Last-Event-ID": e.get(1, "/app/app-key/sse?channel=a&channel=b&since=x", lastEventID("lifelife1:2,lifelife1:1")),
		"since":         e.get(1, "/app/app-key/sse?channel=a&channel=b&since=lifelife1:2,lifelife1:1"),
	} {
		t.Log(name)
		c.wantHead()
		want := block("", success("a", at(2)+`,"recovered":true,"replayed":78`)) +
			block("lifelife1:2,lifelife1:1", success("b", at(1)+`,"recovered":true,"replayed":0`))
		for seq := 3; seq <= 80; seq++ {
			want += block(fmt.Sprintf("lifelife1:%d,lifelife1:1", seq), numbered("a", seq))
		}
		c.wantSent(want)
		c.drop()
	}

	t.Log("what cannot be recovered is said, and a rewind begins where it can")
	c := e.get(0, "/app/app-key/sse?channel=a&channel=none&since=otherone:2,-")
	c.wantHead()
	c.wantSent(block("", success("a", at(80)+`,"recovered":false,"reason":"epoch"`)) + block("lifelife1:80,lifelife1:0", success("none", at(0))))
	c = e.get(0, "/app/app-key/sse?channel=a&since=lifelife1:2,lifelife1:1")
	c.wantHead()
	c.wantSent(block("lifelife1:80", success("a", at(80)+`,"recovered":false,"reason":"malformed"`)))
	c = e.get(0, "/app/app-key/sse?channel=a&rewind=2")
	c.wantHead()
	c.wantSent(block("lifelife1:78", success("a", at(78)+`,"replayed":2`)) + block("lifelife1:79", numbered("a", 79)) + block("lifelife1:80", numbered("a", 80)))

	t.Log("a slow stream catches up from the log")
	c.stuck = true
	e.publishRun("a", 81, 180)
	c.unstick()
	e.pump()
	want := ""
	for seq := 81; seq <= 180; seq++ {
		want += block(fmt.Sprintf("lifelife1:%d", seq), numbered("a", seq))
	}
	c.wantSent(want)

	t.Log("the end is told")
	e.r.CloseAll()
	e.pump()
	c.wantSent(block("", `{"event":"pusher:error","data":{"code":4200,"message":"server is going away, reconnect"}}`))
	c.wantClosed(frame.Drain)
	e.checkEmpty()
}

func TestPrivateEventStream(t *testing.T) {
	e := newEdge(t, 1, withLog(newMemLog()), withSessions)
	signed := func(session, channel, data string) string {
		text := session + ":" + channel
		if data != "" {
			text += ":" + data
		}
		return url.QueryEscape(sign(text))
	}
	data := `{"user_id":"7"}`
	p := e.get(0, "/app/app-key/sse?channel=a&auth=&channel_data=&channel=presence-x&auth="+signed(testSession, "presence-x", data)+
		"&channel_data="+url.QueryEscape(data)+"&socket_id="+testSession)
	p.wantHead()
	if !strings.Contains(p.takeRaw(), `\"ids\":[\"7\"]`) {
		t.Error("it is not told who is there")
	}

	t.Log("an event that it was excluded from moves its position only")
	e.publishNow(&Event{Name: "e", Data: "1", Channels: []string{"a"}, Except: testSession})
	e.pump()
	p.wantSent(block("lifelife1:1,lifelife1:0", `{"event":"pusher_internal:position","channel":"a","data":"{}","position":{"epoch":"lifelife1","seq":1}}`))
	w := e.dial(0)
	w.joinedAs("presence-x", "8")
	p.wantSent(block("lifelife1:1,lifelife1:0", `{"event":"pusher_internal:member_added","channel":"presence-x","data":"{\"user_id\":\"8\",\"user_info\":{\"name\":\"n-8\"}}"}`))

	for name, c := range map[string]struct{ query, want string }{
		"no auth":        {"channel=private-a", `403 Forbidden|{"error":"the channel needs a signature: auth is missing","code":"bad_signature","status":403,"channel":"private-a"}`},
		"no id":          {"channel=private-a&auth=x", `400 Bad Request|{"error":"socket_id is missing: POST /app/{key}/session gives one out, and auth is made for it","code":"missing_field","status":400,"channel":"private-a"}`},
		"expired":        {"channel=private-a&auth=x&socket_id=1.1", `401 Unauthorized|{"error":"the session id has expired: POST /app/{key}/session gives out a new one","code":"session_expired","status":401,"channel":"private-a"}`},
		"forged":         {"channel=private-a&auth=x&socket_id=2.2", `403 Forbidden|{"error":"socket_id is no session id of this server","code":"bad_signature","status":403,"channel":"private-a"}`},
		"signature":      {"channel=private-a&auth=" + signed("3.3", "private-a", "") + "&socket_id=" + testSession, `403 Forbidden|{"error":"signature does not match socket_id:channel","code":"bad_signature","status":403,"channel":"private-a"}`},
		"one bad of two": {"channel=a&channel=a%20b", `400 Bad Request|{"error":"` + ""}, // the text is the name check's

		"none":   {"x=1", `400 Bad Request|{"error":"channel is missing: name at least one","code":"missing_field","status":400}`},
		"twice":  {"channel=a&channel=a", `400 Bad Request|{"error":"the channel is named twice","code":"bad_channel","status":400,"channel":"a"}`},
		"auths":  {"channel=a&channel=b&auth=", `400 Bad Request|{"error":"auth and channel_data stand once for each channel, in the order of the channels, or not at all","code":"missing_field","status":400}`},
		"rewind": {"channel=a&rewind=0", `400 Bad Request|{"error":"rewind must be a number of events from 1 to 1000, or an age like 30s, 5m or 1h","code":"bad_request","status":400}`},
		"many":   {strings.Repeat("channel=a&", 20) + "channel=b", `400 Bad Request|{"error":"the request names 21 channels, limit 20: raise limits.door_channels","code":"too_many_channels","status":400,"limit":20,"actual":21,"knob":"limits.door_channels"}`},
	} {
		c2 := e.get(0, "/app/app-key/sse?"+c.query)
		status, body, _ := strings.Cut(c.want, "|")
		raw := c2.takeRaw()
		if !strings.HasPrefix(raw, "HTTP/1.1 "+status+"\r\n") || !strings.Contains(raw, "\r\n\r\n"+body) || !c2.finished || !c2.keep {
			t.Errorf("%s: %q", name, raw)
		}
	}

	t.Log("what passes by itself ends a stream, not its client")
	full := newEdge(t, 1, withLog(newMemLog()), withApp(func(a *AppConfig) { a.MaxConnections = 1 }))
	full.get(0, "/app/app-key/sse?channel=a").wantHead()
	f := full.get(0, "/app/app-key/sse?channel=a")
	f.wantHead()
	f.wantSent(block("", `{"event":"pusher:error","data":{"code":4100,"message":"connections: 2, limit 1 (apps.max_connections)"}}`))
	if !f.finished || f.keep {
		t.Error("the stream goes on")
	}
	if raw := full.get(0, "/app/app-key/poll?channel=a").takeRaw(); !strings.HasPrefix(raw, "HTTP/1.1 503 ") || !strings.Contains(raw, "Retry-After: 1\r\n") {
		t.Errorf("%q", raw)
	}
	full.checkEmpty()

	t.Log("a stream that comes back to what is gone must not come again")
	c := e.get(0, "/app/other/sse?channel=a", lastEventID("lifelife1:2"))
	if raw := c.takeRaw(); !strings.HasPrefix(raw, "HTTP/1.1 204 No Content\r\n") || c.keep {
		t.Errorf("%q", raw)
	}
	e.checkEmpty()
}

func (p *peer) wantAnswer(status, tag, body string) {
	p.e.t.Helper()
	raw := p.takeRaw()
	head, got, _ := strings.Cut(raw, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 "+status) || !strings.Contains(head, `ETag: "`+tag+`"`) || got != body || !p.finished {
		p.e.t.Fatalf("answer %q, want %s %s %q", raw, status, tag, body)
	}
	p.drop()
}

func TestPoll(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 2, withLog(log), withSessions)
	e.publishRun("a", 1, 4)
	none := `{"next":"lifelife1:4","channels":[{"channel":"a","replayed":0,"more":false,"events":[]}]}`
	e.get(0, "/app/app-key/poll?channel=a").wantAnswer("200", "lifelife1:4", none)
	e.get(0, "/app/app-key/poll?channel=a&since=lifelife1:1").wantAnswer("200", "lifelife1:4",
		`{"next":"lifelife1:4","channels":[{"channel":"a","recovered":true,"replayed":3,"more":false,"events":[`+
			numbered("a", 2)+","+numbered("a", 3)+","+numbered("a", 4)+`]}]}`)
	lost := func(reason string) string {
		return `{"next":"lifelife1:4","channels":[{"channel":"a","recovered":false,"reason":"` + reason + `","events":[]}]}`
	}
	e.get(0, "/app/app-key/poll?channel=a&since=otherone:1").wantAnswer("200", "lifelife1:4", lost("epoch"))
	e.get(0, "/app/app-key/poll?channel=a&since=lifelife1:5").wantAnswer("200", "lifelife1:4", lost("ahead"))
	e.get(0, "/app/app-key/poll?channel=a&since=lifelife1:x").wantAnswer("200", "lifelife1:4", lost("malformed"))

	t.Log("nothing new, no wait: from memory")
	loads, blocks := log.loads, log.blocks
	same := "/app/app-key/poll?channel=a&since=lifelife1:4&wait=0"
	e.get(0, same, ifNoneMatch(`"lifelife1:4"`)).wantAnswer("304", "lifelife1:4", "")
	e.get(0, same).wantAnswer("200", "lifelife1:4", `{"next":"lifelife1:4","channels":[{"channel":"a","recovered":true,"replayed":0,"more":false,"events":[]}]}`)
	if log.loads != loads || log.blocks != blocks {
		t.Errorf("%d loads and %d block reads", log.loads-loads, log.blocks-blocks)
	}

	t.Log("it waits for the next event")
	p := e.get(1, "/app/app-key/poll?channel=b&channel=a&since=lifelife1:0,lifelife1:4&wait=30")
	p.wantSent("")
	if p.period != 30 {
		t.Errorf("it waits %d s", p.period)
	}
	e.publishRun("a", 5, 5)
	p.wantAnswer("200", "lifelife1:0,lifelife1:5", `{"next":"lifelife1:0,lifelife1:5","channels":[{"channel":"b","recovered":true,"replayed":0,"more":false,"events":[]},`+
		`{"channel":"a","recovered":true,"replayed":1,"more":false,"events":[`+numbered("a", 5)+`]}]}`)

	t.Log("or until its time is over")
	wait := "/app/app-key/poll?channel=a&since=lifelife1:5"
	p = e.get(1, wait, ifNoneMatch(`"lifelife1:5"`))
	if p.period != 25 {
		t.Errorf("it waits %d s", p.period)
	}
	p.loop.s.Ping(p.slot)
	e.pump()
	p.wantAnswer("304", "lifelife1:5", "")
	p = e.get(1, wait)
	p.loop.s.Ping(p.slot)
	e.pump()
	p.wantAnswer("200", "lifelife1:5", `{"next":"lifelife1:5","channels":[{"channel":"a","recovered":true,"replayed":0,"more":false,"events":[]}]}`)

	t.Log("a channel without history has no position, and is waited for all the same")
	none2 := newEdge(t, 1, withLog(log, HistoryRule{"off-*", Rule{}}, HistoryRule{"*", Rule{Events: 10, Age: time.Hour, Bytes: 1 << 20, Replay: true}}))
	none2.get(0, "/app/app-key/poll?channel=off-a&wait=3").wantAnswer("200", "-", `{"next":"-","channels":[{"channel":"off-a","replayed":0,"more":false,"events":[]}]}`)
	o := none2.get(0, "/app/app-key/poll?channel=off-a&since=-&wait=3")
	o.wantSent("")
	none2.publish("off-a", "e", "1")
	o.wantAnswer("200", "-", `{"next":"-","channels":[{"channel":"off-a","replayed":1,"more":false,"events":[{"event":"e","channel":"off-a","data":"1"}]}]}`)
	o = none2.get(0, "/app/app-key/poll?channel=off-a&since=-&wait=3", ifNoneMatch(`"-"`))
	o.loop.s.Ping(o.slot)
	none2.pump()
	o.wantAnswer("304", "-", "")
	none2.get(0, "/app/app-key/poll?channel=off-a&since=lifelife1:1&wait=3").wantAnswer("200", "-",
		`{"next":"-","channels":[{"channel":"off-a","recovered":false,"reason":"off","events":[]}]}`)
	none2.checkEmpty()

	t.Log("a client that leaves while it waits leaves nothing behind")
	e.get(1, wait).drop()

	t.Log("more than one answer holds")
	e = newEdge(t, 1, withLog(log, HistoryRule{"*", Rule{Events: 5000, Age: time.Hour, Bytes: 1 << 30, Replay: true}}))
	e.publishRun("many", 1, 1500)
	p = e.get(0, "/app/app-key/poll?channel=many&since=lifelife1:100")
	raw := p.takeRaw()
	if !strings.Contains(raw, `ETag: "lifelife1:1100"`) || !strings.Contains(raw, `"replayed":1000,"more":true`) || strings.Count(raw, `"event":"e"`) != 1000 {
		t.Errorf("%.300q", raw)
	}

	t.Log("while the server ends")
	w := e.get(0, "/app/app-key/poll?channel=many&since=lifelife1:1500")
	e.r.CloseAll()
	e.pump()
	if raw := w.takeRaw(); !strings.HasPrefix(raw, "HTTP/1.1 503 Service Unavailable\r\n") || w.keep {
		t.Errorf("%q", raw)
	}
	e.checkEmpty()
}
