package api

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// The credentials of the tests are those of the protocol's public vectors; the
// disabled application has its own.
const (
	testApp    = "3"
	testKey    = "278d425bdf160c739803"
	testSecret = "7ad3773142a6692b25b8"
	offApp     = "4"
	offKey     = "off-key"
	offSecret  = "off-secret"
)

// testNow is when the public vectors were signed.
var testNow = time.Unix(1353088179, 0)

// clock is a wall clock that moves when a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noLoops lets a router exist that delivers nothing.
type noLoops struct{}

func (noLoops) Count() int                       { return 1 }
func (noLoops) MustPost(int, uint8, uint64, any) {}

// testRouterConfig is a configuration with the two applications of the tests.
func testRouterConfig() router.Config {
	cfg := router.Default()
	cfg.SocketIDKey = [16]byte{1}
	cfg.Apps = []router.AppConfig{
		{ID: testApp, Key: testKey, Secret: testSecret, Enabled: true, Origins: []string{"*"}},
		{ID: offApp, Key: offKey, Secret: offSecret, Origins: []string{"*"}},
	}
	return cfg
}

// testRouter makes a real router that keeps nothing.
func testRouter(t testing.TB) *router.Router {
	t.Helper()
	r, err := router.New(testRouterConfig(), noLoops{}, func() int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// testApps are its applications, for a router that is not real.
func testApps(t testing.TB) map[string]*router.App {
	t.Helper()
	r, apps := testRouter(t), map[string]*router.App{}
	for _, id := range []string{testApp, offApp} {
		app, ok := r.AppByID(id)
		if !ok {
			t.Fatalf("application %q is missing", id)
		}
		apps[id] = app
	}
	return apps
}

// fakeRouter remembers what it was told and answers what it was given.
type fakeRouter struct {
	apps map[string]*router.App

	mu         sync.Mutex
	published  []router.Event
	terminated []string
	channels   map[string]router.ChannelInfo
	members    map[string][]string
	wanted     router.Info // of the last query
	busyAfter  int         // Publish answers ErrBusy from this many events on; 0: never
	away       error       // of what concerns a whole cluster
}

func (f *fakeRouter) AppByID(id string) (*router.App, bool) {
	app, ok := f.apps[id]
	return app, ok
}

func (f *fakeRouter) AppByKey(key string) (*router.App, bool) {
	for _, app := range f.apps {
		if app.Credentials().Key() == key {
			return app, true
		}
	}
	return nil, false
}

func (f *fakeRouter) PublishAll(*router.App, []*router.Event) error {
	panic("there is no log")
}

// The fake router keeps nothing.
func (f *fakeRouter) Keeps() bool        { return false }
func (f *fakeRouter) KeepsDurably() bool { return false }

func (f *fakeRouter) Position(*router.App, string) (router.Position, bool, error) {
	return router.Position{}, false, nil
}

func (f *fakeRouter) History(*router.App, string, string, uint64, int) router.HistoryPage {
	return router.HistoryPage{Reason: router.ReasonOff}
}

func (f *fakeRouter) Answered(*router.App, []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	return sum, 0, nil, false, nil
}

func (f *fakeRouter) Answer(*router.App, []byte, [32]byte, int, []byte) error {
	return router.ErrLogUnavailable
}

func (f *fakeRouter) Publish(_ *router.App, ev *router.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busyAfter > 0 && len(f.published) >= f.busyAfter-1 {
		return router.ErrBusy
	}
	f.published = append(f.published, *ev)
	return nil
}

func (f *fakeRouter) Terminate(_ *router.App, userID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.terminated = append(f.terminated, userID)
	return f.away
}

func (f *fakeRouter) InfoEverywhere(_ *router.App, channel string, want router.Info) (router.ChannelInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = want
	return f.channels[channel], f.away
}

func (f *fakeRouter) ChannelsEverywhere(_ *router.App, prefix string, want router.Info) ([]router.NamedInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = want
	var all []router.NamedInfo
	for name, info := range f.channels {
		if strings.HasPrefix(name, prefix) && info.Occupied {
			all = append(all, router.NamedInfo{Name: name, ChannelInfo: info})
		}
	}
	slices.SortFunc(all, func(a, b router.NamedInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, f.away
}

func (f *fakeRouter) UsersEverywhere(_ *router.App, channel string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[channel], f.away
}

func (f *fakeRouter) ConnectionsEverywhere(*router.App) (int, error) { return 19000, f.away }

// events are the events published so far.
func (f *fakeRouter) events() []router.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.published)
}

// harness is a Server with a fake router and a clock.
type harness struct {
	t      testing.TB
	server *Server
	router *fakeRouter
	clock  *clock
}

// testConfig is the configuration of the shipped file.
func testConfig() Config {
	return Config{Limits: Limits{
		RequestLineBytes: 4 << 10, HeadBytes: 8 << 10, HeadCount: 64,
		ChannelNameBytes: 200, EventNameBytes: 200, EventDataBytes: 10 << 10, BodyBytes: 256 << 10,
		EventChannels: 100, BatchEvents: 10, AuthWindow: 600 * time.Second,
	}}
}

// start makes a Server; change may alter its configuration.
func start(t testing.TB, change ...func(*Config)) *harness {
	t.Helper()
	cfg := testConfig()
	for _, f := range change {
		f(&cfg)
	}
	h := &harness{t: t, clock: &clock{now: testNow}, router: &fakeRouter{
		apps: testApps(t), channels: map[string]router.ChannelInfo{}, members: map[string][]string{},
	}}
	var err error
	if h.server, err = New(cfg, h.router, h.clock.Now); err != nil {
		t.Fatal(err)
	}
	return h
}

// client is the other end of one conversation, on a TCP connection.
type client struct {
	t     testing.TB
	conn  net.Conn
	in    *bufio.Reader
	ended chan error // what ServeConn returned
}

// dial opens a conversation. wrap may put something around the server's end.
func (h *harness) dial(wrap ...func(net.Conn) net.Conn) *client {
	h.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	served, err := listener.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range wrap {
		served = f(served)
	}
	c := &client{t: h.t, conn: conn, in: bufio.NewReader(conn), ended: make(chan error, 1)}
	go func() { c.ended <- h.server.ServeConn(served) }()
	h.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// send writes bytes as they are.
func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, raw); err != nil {
		c.t.Fatal(err)
	}
}

// reply is one response, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	last   bool // Connection: close
}

// receive reads the response to a request of the method.
func (c *client) receive(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal("reading a response: ", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal("reading a body: ", err)
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// wantEnd checks that the server ends the conversation without a further byte.
func (c *client) wantEnd() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("expected the end of the conversation, got byte %q, error %v", b, err)
	}
	if err := c.conn.Close(); err != nil {
		c.t.Fatal(err)
	}
	<-c.ended
}

// do sends one request on a conversation of its own.
func (h *harness) do(raw, method string) reply {
	h.t.Helper()
	c := h.dial()
	c.send(raw)
	return c.receive(method)
}

// post publishes a body, signed.
func (h *harness) post(path, body string) reply {
	h.t.Helper()
	return h.do(signed("POST", path, "", body, h.clock.Now()), "POST")
}

// get asks for a path with an unsigned query "a=b&c=d", signed.
func (h *harness) get(path, query string) reply {
	h.t.Helper()
	return h.do(signed("GET", path, query, "", h.clock.Now()), "GET")
}

// want checks status and whole body.
func (r reply) want(t testing.TB, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Errorf("got  %d %s\nwant %d %s", r.status, r.body, status, body)
	}
}

// signed is a request of the test application as raw bytes. query must hold no
// character that needs encoding, and no parameter named auth_…
func signed(method, path, query, body string, now time.Time) string {
	return raw(method, path+"?"+sign(testKey, testSecret, method, path, query, body, now), body)
}

// sign makes a signed query.
func sign(key, secret, method, path, query, body string, now time.Time) string {
	params := []string{"auth_key=" + key, "auth_timestamp=" + strconv.FormatInt(now.Unix(), 10), "auth_version=1.0"}
	if body != "" {
		sum := md5.Sum([]byte(body))
		params = append(params, "body_md5="+hex.EncodeToString(sum[:]))
	}
	if query != "" {
		params = append(params, strings.Split(query, "&")...)
	}
	slices.Sort(params)
	all := strings.Join(params, "&")
	return all + "&auth_signature=" + hmacHex(secret, method+"\n"+path+"\n"+all)
}

func hmacHex(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// raw is a request as bytes, as a backend's HTTP client sends it.
func raw(method, target, body string, headers ...string) string {
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
	if body != "" {
		b.WriteString("Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.String()
}
