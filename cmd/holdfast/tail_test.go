package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
)

// tailing is a running tail that does not wait between connects.
type tailing struct {
	*shell
	t     *testing.T
	err   chan error
	waits chan time.Duration
	stop  context.CancelFunc
}

func startTail(t *testing.T, fake *fakeServer, count int, channels ...string) *tailing {
	t.Helper()
	s := &tailing{shell: newShell(t), t: t, err: make(chan error, 1), waits: make(chan time.Duration, 16)}
	target := &target{app: config.App{ID: "app-id", Key: "app-key", Secret: "app-secret"}}
	if err := target.setServer(fake.url, config.Default()); err != nil {
		t.Fatal(err)
	}
	run := &tail{
		at:     map[string]position{},
		target: target, channels: channels, count: count, p: &s.process,
		wait:   func(_ context.Context, d time.Duration) { s.waits <- d },
		jitter: func() float64 { return 0.25 },
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	t.Cleanup(cancel)
	go func() { s.err <- run.run(ctx) }()
	return s
}

func (s *tailing) want(text string) {
	s.t.Helper()
	select {
	case err := <-s.err:
		if errorString(err) != text {
			s.t.Errorf("ended with %q, want %q", errorString(err), text)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("tail does not end: %s", s.stderr.String())
	}
}

func (s *tailing) wantWait(d time.Duration) {
	s.t.Helper()
	select {
	case got := <-s.waits:
		if got != d {
			s.t.Errorf("waits %s, want %s", got, d)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("no reconnect: %s", s.stderr.String())
	}
}

func TestTail(t *testing.T) {
	fake := startFake(t)
	s := startTail(t, fake, 3, "news", "private-a", "presence-a")
	c := fake.accept()
	if c.url.Path != "/app/app-key" || c.url.Query().Get("protocol") != "7" {
		t.Errorf("asked for %s", c.url)
	}
	c.establish()

	t.Log("every kind of channel is signed as it needs")
	c.want(`{"event":"pusher:subscribe","data":{"channel":"news"}}`)
	c.want(`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"app-key:` + fake.mac("12.34:private-a") + `"}}`)
	c.want(`{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":"app-key:` + fake.mac(`12.34:presence-a:{"user_id":"holdfast-tail"}`) + `","channel_data":"{\"user_id\":\"holdfast-tail\"}"}}`)
	for _, channel := range []string{"news", "private-a", "presence-a"} {
		c.send(`{"event":"pusher_internal:subscription_succeeded","channel":"` + channel + `","data":"{}"}`)
		s.stderr.has(t, "subscribed to "+channel+"\n")
	}

	t.Log("pings of both kinds are answered, also between fragments")
	c.send(`{"event":"pusher:ping","data":{}}`)
	c.want(`{"event":"pusher:pong","data":{}}`)
	c.frame(ws.NewPingFrame([]byte("hello")))
	c.wantFrame(ws.OpPong, []byte("hello"))
	const long = `{"event":"price","channel":"news","data":"{\"p\":9}"}`
	c.frame(ws.NewFrame(ws.OpText, false, []byte(long[:20])))
	c.frame(ws.NewPingFrame(nil))
	c.wantFrame(ws.OpPong, nil)
	c.frame(ws.NewFrame(ws.OpContinuation, true, []byte(long[20:])))
	s.stdout.has(t, long+"\n")

	t.Log("one line an event; protocol messages are not events")
	c.send("{\"event\":\"client-x\",\n \"channel\":\"private-a\",\"data\":{\"a\": 1}}")
	c.send(`{"event":"pusher_internal:member_added","channel":"presence-a","data":"{}"}`)
	c.send(`{"event":"pusher:error","data":{"code":4301,"message":"too many client events"}}`)
	s.stderr.has(t, "the server says: 4301 too many client events\n")

	t.Log("the count is reached: a clean close")
	c.send(`{"event":"price","channel":"news","data":"3"}`)
	c.wantFrame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	s.want("")
	want := long + "\n" + `{"event":"client-x","channel":"private-a","data":{"a":1}}` + "\n" + `{"event":"price","channel":"news","data":"3"}` + "\n"
	if got := s.stdout.String(); got != want {
		t.Errorf("printed\n%s, want\n%s", got, want)
	}
}

func TestTailReconnects(t *testing.T) {
	fake := startFake(t)
	s := startTail(t, fake, 0, "news")
	join := func() *fakeSocket {
		c := fake.accept()
		c.establish()
		c.want(`{"event":"pusher:subscribe","data":{"channel":"news"}}`)
		c.send(`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"}`)
		return c
	}
	t.Log("a lost connection, then one that fails before it has joined: the wait doubles")
	join().conn.Close()
	s.wantWait(750 * time.Millisecond)
	fake.accept().close(4100, "over capacity")
	s.wantWait(1500 * time.Millisecond)
	s.stderr.has(t, `connection lost: closed by the server with 4100 "over capacity"`)

	t.Log("after a join it begins anew; the server moves its clients")
	join().close(4200, "server is stopping")
	s.wantWait(750 * time.Millisecond)
	join().send(`{"event":"a","channel":"news","data":"1"}`)
	s.stdout.has(t, `{"event":"a","channel":"news","data":"1"}`)

	t.Log("an interrupt is not a failure")
	s.stop()
	s.want("")
}

// TestTailRecovers: after a loss it asks for what it has not shown, and says what
// came of that.
func TestTailRecovers(t *testing.T) {
	fake := startFake(t)
	s := startTail(t, fake, 0, "news")
	c := fake.accept()
	c.establish()
	c.want(`{"event":"pusher:subscribe","data":{"channel":"news"}}`)
	c.send(`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":41}}`)
	c.send(`{"event":"a","channel":"news","data":"1","seq":42}`)
	c.send(`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":43}}`)
	s.stdout.has(t, `"seq":42}`)
	c.close(4200, "server is stopping")
	s.wantWait(750 * time.Millisecond)

	c = fake.accept()
	c.establish()
	c.want(`{"event":"pusher:subscribe","data":{"channel":"news","recover":{"epoch":"k3f9k3f9","seq":43,"socket_id":"12.34"}}}`)
	c.send(`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"k3f9k3f9","seq":43},"recovered":true,"replayed":1}`)
	s.stderr.has(t, "subscribed to news again, 1 missed events follow")
	c.send(`{"event":"a","channel":"news","data":"2","seq":44}`)
	s.stdout.has(t, `"seq":44}`)
	c.close(4200, "server is stopping")
	s.wantWait(750 * time.Millisecond)

	c = fake.accept()
	c.establish()
	c.want(`{"event":"pusher:subscribe","data":{"channel":"news","recover":{"epoch":"k3f9k3f9","seq":44,"socket_id":"12.34"}}}`)
	c.send(`{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}","position":{"epoch":"zzzzzzzz","seq":9},"recovered":false,"reason":"epoch"}`)
	s.stderr.has(t, "subscribed to news again, events since k3f9k3f9:44 are not shown (epoch)")
	s.stop()
	s.want("")
}

func TestTailGivesUp(t *testing.T) {
	cases := []struct {
		name string
		act  func(c *fakeSocket)
		want string // URL stands for the server
	}{
		{"unknown app", func(c *fakeSocket) {
			c.send(`{"event":"pusher:error","data":{"code":4001,"message":"no app with this key"}}`)
			c.close(4001, "no app with this key")
		}, `closed by the server with 4001 "no app with this key"`},
		{"refused channel", func(c *fakeSocket) {
			c.establish()
			c.send(`{"event":"pusher:subscription_error","channel":"news","data":"{\"type\":\"AuthError\",\"error\":\"signature does not match\",\"status\":401}"}`)
		}, "news: AuthError 401: signature does not match"},
		{"another protocol", func(c *fakeSocket) { c.send(`{"event":"hello"}`) }, `URL does not speak the Pusher protocol: it began with "hello"`},
		{"no JSON", func(c *fakeSocket) { c.send(`hello`) }, "a message is not JSON: invalid character 'h' looking for beginning of value"},
		{"first connect lost", func(c *fakeSocket) { c.conn.Close() }, "closed without a reason"},
		{"frame of an invalid kind", func(c *fakeSocket) { c.frame(ws.NewFrame(0xb, true, nil)) }, "use of reserved op code"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			fake := startFake(t)
			s := startTail(t, fake, 0, "news")
			tc.act(fake.accept())
			s.want(strings.ReplaceAll(tc.want, "URL", fake.url))
		})
	}
}

func TestTailCommand(t *testing.T) {
	fake := startFake(t)
	s := newShell(t)
	code := make(chan int, 1)
	go func() { code <- s.run("tail", "--url", fake.url+"/ws", "--count=1", "news") }()
	c := fake.accept()
	if c.url.Path != "/ws/app/app-key" {
		t.Errorf("path %s", c.url.Path)
	}
	c.establish()
	c.want(`{"event":"pusher:subscribe","data":{"channel":"news"}}`)
	c.send(`{"event":"a","channel":"news","data":"1"}`)
	if got := <-code; got != 0 || s.stdout.String() != `{"event":"a","channel":"news","data":"1"}`+"\n" {
		t.Errorf("code %d: %s%s", got, s.stdout.String(), s.stderr.String())
	}

	t.Log("nothing listens")
	s = newShell(t)
	if got := s.run("tail", "--url=http://127.0.0.1:1", "news"); got != 1 || !strings.Contains(s.stderr.String(), "nothing listens on http://127.0.0.1:1; is the server running there?") {
		t.Errorf("code %d: %s", got, s.stderr.String())
	}
	t.Log("something that is no WebSocket server")
	s = newShell(t)
	if got := s.run("tail", "--url="+fake.url+"/other", "news"); got != 1 || !strings.Contains(s.stderr.String(), "/other answered 404 and not with a WebSocket") {
		t.Errorf("code %d: %s", got, s.stderr.String())
	}
	t.Log("a signal ends it well")
	s = newShell(t)
	go func() { code <- s.run("tail", "--url="+fake.url, "news") }()
	fake.accept()
	s.signals <- interrupt{}
	if got := <-code; got != 0 {
		t.Errorf("code %d: %s", got, s.stderr.String())
	}
}

// interrupt is any signal that is not SIGHUP.
type interrupt struct{}

func (interrupt) Signal()        {}
func (interrupt) String() string { return "interrupt" }

// oneWrite collects what ws.Upgrade writes, to be sent with what follows it.
type oneWrite struct {
	net.Conn
	out bytes.Buffer
}

func (w *oneWrite) Write(p []byte) (int, error) { return w.out.Write(p) }

// TestTailTakesFramesBehindTheHandshake: a server may write them in one
// segment with its 101.
func TestTailTakesFramesBehindTheHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		w := &oneWrite{Conn: conn}
		if _, err := ws.Upgrade(w); err != nil {
			t.Error(err)
		}
		for _, text := range []string{
			`{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":9}"}`,
			`{"event":"a","channel":"news","data":"1"}`,
		} {
			if err := wsutil.WriteServerText(w, []byte(text)); err != nil {
				t.Error(err)
			}
		}
		conn.Write(w.out.Bytes())
		io.Copy(io.Discard, conn)
	}()
	s := startTail(t, &fakeServer{url: "http://" + l.Addr().String()}, 1, "news")
	s.want("")
	s.stdout.has(t, `"data":"1"`)
}
