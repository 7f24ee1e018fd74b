package router

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

const (
	testKey    = "app-key"
	testSecret = "app-secret"
)

// edge is a router with several loops that run only when the test says so.
type edge struct {
	t     testing.TB
	r     *Router
	app   *App
	loops []*fakeLoop
	now   int64 // monotonic ns; moves by advance and, if tickClock is set, by each reading
	step  int64 // added at each reading of the clock
	slots uint32
	gens  uint32
}

// fakeLoop is the transport of one shard: an inbox and the peers of its loop.
type fakeLoop struct {
	e     *edge
	id    int
	s     *Shard
	inbox []command
	peers map[uint32]*peer
	quiet bool // count what is written, and drop it
	count int  // writes while quiet
}

// peer is a client as the transport sees it.
type peer struct {
	e       *edge
	loop    *fakeLoop
	slot    uint32
	gen     uint32
	id      string // socket id
	got     []message
	closed  *frame.CloseReason
	ended   bool // Closed was called
	resumed int
	onMsg   func(message)

	stuck  bool     // its socket takes nothing
	queue  [][]byte // what the socket did not take
	held   bool
	strict bool // nothing may be pushed while something waits

	http     bool   // a stream: what it is sent is kept as it is
	raw      string // of a stream
	finished bool
	keep     bool
	period   int
}

// peerQueue is how many writes wait for a stuck peer before it counts as slow.
const peerQueue = 4

// message is a frame that a peer received.
type message struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	UserID  string          `json:"user_id"`
	Cached  bool            `json:"cached"`
	Seq     uint64          `json:"seq"`

	raw string
}

// text is the data string of a message.
func (m message) text() string {
	var s string
	if json.Unmarshal(m.Data, &s) != nil {
		return string(m.Data)
	}
	return s
}

type option func(*Config)

func withLimits(change func(*Limits)) option { return func(c *Config) { change(&c.Limits) } }
func withApp(change func(*AppConfig)) option { return func(c *Config) { change(&c.Apps[0]) } }

// newEdge starts a router with one application.
func newEdge(t testing.TB, loops int, opts ...option) *edge {
	t.Helper()
	cfg := Default()
	cfg.Slots = 1 << 12
	cfg.SocketIDKey = [16]byte{1, 2, 3}
	cfg.Apps = []AppConfig{{ID: "app-id", Key: testKey, Secret: testSecret, Enabled: true, Origins: []string{"*"}, ClientEvents: true}}
	for _, o := range opts {
		o(&cfg)
	}
	e := &edge{t: t, now: int64(time.Hour)}
	for id := range loops {
		e.loops = append(e.loops, &fakeLoop{e: e, id: id, peers: map[uint32]*peer{}})
	}
	r, err := New(cfg, e, e.clock)
	if err != nil {
		t.Fatal(err)
	}
	e.r = r
	r.jobs.inline = true
	for _, l := range e.loops {
		l.s = r.Shard(l.id, l)
	}
	e.app, _ = r.AppByID("app-id")
	return e
}

// clock is the clock that the router reads.
func (e *edge) clock() int64 {
	e.now += e.step
	return e.now
}

func (e *edge) advance(d time.Duration) { e.now += int64(d) }

// Count and MustPost make the edge the router's Loops.
func (e *edge) Count() int { return len(e.loops) }
func (e *edge) MustPost(loop int, op uint8, arg uint64, ref any) {
	e.loops[loop].inbox = append(e.loops[loop].inbox, command{op, arg, ref})
}

// turn handles what is in the inbox and one call of Work; it tells whether there is more.
func (l *fakeLoop) turn() bool {
	inbox := l.inbox
	l.inbox = nil
	for _, c := range inbox {
		l.s.Command(l.e.now, c.op, c.arg, c.ref)
	}
	more := l.s.Work(l.e.now, l.e.now+int64(time.Millisecond))
	return more || len(l.inbox) > 0
}

// pump runs all loops until nothing is left to do.
func (e *edge) pump() {
	for more := true; more; {
		more = false
		for _, l := range e.loops {
			more = l.turn() || more
		}
	}
}

// tick lets d pass and gives every loop its tick of the second.
func (e *edge) tick(d time.Duration) {
	e.advance(d)
	for _, l := range e.loops {
		l.s.Tick(e.now)
	}
	e.pump()
}

// open connects without looking at the answer.
func (e *edge) open(loop int, up frame.Upgrade) *peer {
	l := e.loops[loop]
	e.slots++
	return l.openAt(e.slots, up)
}

func (l *fakeLoop) openAt(slot uint32, up frame.Upgrade) *peer {
	l.e.gens++
	p := &peer{e: l.e, loop: l, slot: slot, gen: l.e.gens}
	l.peers[slot] = p
	up.Loop, up.Slot, up.Gen = l.id, slot, p.gen
	if up.ActivitySeconds == 0 {
		up.ActivitySeconds = 117
	}
	l.s.Open(l.e.now, &up)
	return p
}

// dial connects as an ordinary client.
func (e *edge) dial(loop int) *peer {
	e.t.Helper()
	p := e.open(loop, frame.Upgrade{Path: []byte("/app/" + testKey), RawQuery: []byte("protocol=7&client=js")})
	p.established()
	return p
}

// established takes the greeting and learns the socket id.
func (p *peer) established() {
	p.e.t.Helper()
	m := p.want("pusher:connection_established", "")
	var data struct {
		SocketID string `json:"socket_id"`
		Activity int    `json:"activity_timeout"`
	}
	if err := json.Unmarshal([]byte(m.text()), &data); err != nil || data.Activity != 117 {
		p.e.t.Fatalf("connection_established = %s", m.raw)
	}
	p.id = data.SocketID
}

// say hands the router one text message, as a client would have sent it.
func (p *peer) say(text string) error {
	return p.loop.s.Message(p.e.now, p.slot, frame.OpText, []byte(text))
}

func (p *peer) sayf(format string, args ...any) error { return p.say(fmt.Sprintf(format, args...)) }

// subscribe sends a correct subscribe; member is the presence data or "".
func (p *peer) subscribe(channel, channelData string) error {
	auth, rest := "", ""
	if strings.HasPrefix(channel, "private-") || strings.HasPrefix(channel, "presence-") {
		signed := p.id + ":" + channel
		if channelData != "" {
			signed += ":" + channelData
			rest = `,"channel_data":` + quote(channelData)
		}
		auth = sign(signed)
	}
	return p.sayf(`{"event":"pusher:subscribe","data":{"auth":%s,"channel":%s%s}}`, quote(auth), quote(channel), rest)
}

// present subscribes to a presence channel as a user.
func (p *peer) present(channel, user string) error {
	return p.subscribe(channel, fmt.Sprintf(`{"user_id":%s,"user_info":{"name":%s}}`, quote(user), quote("n-"+user)))
}

func (p *peer) unsubscribe(channel string) error {
	return p.sayf(`{"event":"pusher:unsubscribe","data":{"channel":%s}}`, quote(channel))
}

// signin signs in with user_data.
func (p *peer) signin(userData string) error {
	return p.sayf(`{"event":"pusher:signin","data":{"auth":%s,"user_data":%s}}`, quote(sign(p.id+"::user::"+userData)), quote(userData))
}

// drop ends the connection from the client's side, or finishes a close.
func (p *peer) drop() {
	if p.ended {
		p.e.t.Fatalf("peer %d was dropped twice", p.slot)
	}
	p.ended = true
	p.loop.s.Closed(p.e.now, p.slot, frame.PeerReset)
	delete(p.loop.peers, p.slot)
}

func sign(text string) string {
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(text))
	return testKey + ":" + hex.EncodeToString(mac.Sum(nil))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Send, Deliver, Close and Resume make the loop the shard's Conns.
func (l *fakeLoop) Send(conn uint32, frames []byte) {
	if l.quiet {
		l.count++
		return
	}
	l.write(l.peers[conn], slices.Clone(frames))
}

func (l *fakeLoop) Deliver(conn uint32, b *frame.Batch) bool {
	if l.quiet {
		l.count++
		return true
	}
	p := l.peers[conn]
	if p.closed != nil {
		return true
	}
	if p.held || len(p.queue) >= peerQueue {
		return false
	}
	l.write(p, b.Plain)
	return true
}

func (l *fakeLoop) Push(conn uint32, b *frame.Batch) {
	p := l.peers[conn]
	if p.closed != nil {
		return
	}
	if p.strict && len(p.queue) > 0 {
		l.e.t.Errorf("connection %d: pushed while its socket is full", conn)
	}
	if len(p.queue) >= peerQueue {
		p.closed = &frame.Slow
		return
	}
	l.write(p, b.Plain)
}

func (l *fakeLoop) Finish(conn uint32, keep bool) {
	p := l.peers[conn]
	p.finished, p.keep = true, keep
}

func (l *fakeLoop) Empty(conn uint32) bool    { return len(l.peers[conn].queue) == 0 }
func (l *fakeLoop) Hold(conn uint32, on bool) { l.peers[conn].held = on }
func (l *fakeLoop) write(p *peer, frames []byte) {
	if p.stuck {
		p.queue = append(p.queue, frames)
		return
	}
	l.receive(p.slot, frames)
}

// unstick lets the socket take everything again.
func (p *peer) unstick() {
	p.stuck = false
	queue := p.queue
	p.queue = nil
	for _, frames := range queue {
		p.loop.receive(p.slot, frames)
	}
	if p.held && p.closed == nil && len(queue) > 0 {
		p.loop.s.Drained(p.e.now, p.slot)
	}
}

func (l *fakeLoop) Close(conn uint32, r frame.CloseReason) {
	p := l.peers[conn]
	if p == nil || p.closed != nil {
		l.e.t.Fatalf("close of connection %d, which is not open", conn)
	}
	p.closed = &r
}

func (l *fakeLoop) Resume(conn uint32) { l.peers[conn].resumed++ }

func (l *fakeLoop) receive(conn uint32, frames []byte) {
	p := l.peers[conn]
	if p == nil || p.ended {
		l.e.t.Fatalf("loop %d wrote to connection %d, which is closed", l.id, conn)
	}
	if p.closed != nil {
		return
	}
	if p.http {
		p.raw += string(frames)
		return
	}
	for len(frames) > 0 {
		payload, rest := cutFrame(l.e.t, frames)
		frames = rest
		m := message{raw: string(payload)}
		if err := json.Unmarshal(payload, &m); err != nil {
			l.e.t.Fatalf("frame is no JSON: %q: %v", payload, err)
		}
		if p.onMsg != nil {
			p.onMsg(m)
			continue
		}
		p.got = append(p.got, m)
	}
}

// cutFrame takes one unmasked text frame off the front.
func cutFrame(t testing.TB, b []byte) (payload, rest []byte) {
	t.Helper()
	if len(b) < 2 || b[0] != 0x81 || b[1]&0x80 != 0 {
		t.Fatalf("not a final, unmasked text frame: % x", b[:min(len(b), 8)])
	}
	n, head := int(b[1]), 2
	switch n {
	case 126:
		n, head = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		n, head = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	return b[head : head+n], b[head+n:]
}

// want takes the next message, which must be of this event and channel.
func (p *peer) want(event, channel string) message {
	p.e.t.Helper()
	if len(p.got) == 0 {
		p.e.t.Fatalf("no message, want %s on %q", event, channel)
	}
	m := p.got[0]
	p.got = p.got[1:]
	if m.Event != event || m.Channel != channel {
		p.e.t.Fatalf("message = %s, want %s on %q", m.raw, event, channel)
	}
	return m
}

// wantRaw takes the next message, which must have exactly this text.
func (p *peer) wantRaw(text string) {
	p.e.t.Helper()
	if len(p.got) == 0 {
		p.e.t.Fatalf("no message, want %s", text)
	}
	m := p.got[0]
	p.got = p.got[1:]
	if m.raw != text {
		p.e.t.Fatalf("message\n got %s\nwant %s", m.raw, text)
	}
}

// wantNothing checks that nothing more has come.
func (p *peer) wantNothing() {
	p.e.t.Helper()
	if len(p.got) > 0 {
		p.e.t.Fatalf("unexpected message %s", p.got[0].raw)
	}
}

// joined subscribes, pumps and takes the success message.
func (p *peer) joined(channel string) {
	p.e.t.Helper()
	if err := p.subscribe(channel, ""); err != nil && err != frame.ErrPause {
		p.e.t.Fatal(err)
	}
	p.e.pump()
	p.want("pusher_internal:subscription_succeeded", channel)
}

// joinedAs is joined for a presence channel.
func (p *peer) joinedAs(channel, user string) message {
	p.e.t.Helper()
	if err := p.present(channel, user); err != nil && err != frame.ErrPause {
		p.e.t.Fatal(err)
	}
	p.e.pump()
	return p.want("pusher_internal:subscription_succeeded", channel)
}

// publish publishes one event as the API would, and pumps.
func (e *edge) publish(channel, name, data string) {
	e.t.Helper()
	e.publishNow(&Event{Name: name, Data: data, Channels: []string{channel}})
	e.pump()
}

func (e *edge) publishNow(ev *Event) {
	e.t.Helper()
	if err := e.r.Publish(e.app, ev); err != nil {
		e.t.Fatal(err)
	}
}

// checkEmpty verifies that nothing is left once every peer has gone.
func (e *edge) checkEmpty() {
	e.t.Helper()
	for _, l := range e.loops {
		for _, p := range l.peers {
			p.drop()
		}
	}
	e.pump()
	for _, l := range e.loops {
		s := l.s
		if s.nodes.Live() != 0 || s.locals.Live() != 0 || s.arrays.small.Live() != 0 || s.arrays.medium.Live() != 0 || s.arrays.large.Live() != 0 {
			e.t.Errorf("loop %d leaks: %d memberships, %d channels, %d/%d/%d blocks", l.id, s.nodes.Live(), s.locals.Live(),
				s.arrays.small.Live(), s.arrays.medium.Live(), s.arrays.large.Live())
		}
		if len(s.cursors) != 0 || len(s.behind) != 0 || len(s.fetches) != 0 || len(s.pulls) != 0 {
			e.t.Errorf("loop %d leaks: %d cursors of %d connections, %d fetches, %d pulls", l.id, len(s.cursors), len(s.behind), len(s.fetches), len(s.pulls))
		}
		if len(s.streams) != 0 || len(s.waking) != 0 {
			e.t.Errorf("loop %d leaks: %d streams, %d waking", l.id, len(s.streams), len(s.waking))
		}
		if len(s.present) != 0 || len(s.signed) != 0 || s.sessions.count != 0 || s.deflate != 0 {
			e.t.Errorf("loop %d leaks: %d present, %d signed in, %d sessions, %d deflate", l.id, len(s.present), len(s.signed), s.sessions.count, s.deflate)
		}
		if n, b := s.backlog.events.Load(), s.backlog.bytes.Load(); n != 0 || b != 0 {
			e.t.Errorf("loop %d: backlog of %d events, %d bytes", l.id, n, b)
		}
	}
	for i := range e.app.dir.shards {
		if n := len(e.app.dir.shards[i].channels); n != 0 {
			e.t.Errorf("directory shard %d keeps %d channels", i, n)
		}
	}
	if n := len(e.app.users.byID); n != 0 {
		e.t.Errorf("%d users are left", n)
	}
	if n := e.r.Connections(e.app); n != 0 {
		e.t.Errorf("%d connections are counted", n)
	}
}

// plainUpgrade is what an ordinary client asks for.
func plainUpgrade() frame.Upgrade {
	return frame.Upgrade{Path: []byte("/app/" + testKey), RawQuery: []byte("protocol=7")}
}

// wantError takes the next message, which must be this pusher:error.
func (p *peer) wantError(code int, text string) {
	p.e.t.Helper()
	p.wantRaw(fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":%s}}`, code, quote(text)))
}

// wantRefused takes the next message, which must be this pusher:subscription_error.
func (p *peer) wantRefused(channel, typ string, status int, text string) {
	p.e.t.Helper()
	data := fmt.Sprintf(`{"type":%s,"error":%s,"status":%d}`, quote(typ), quote(text), status)
	p.wantRaw(fmt.Sprintf(`{"event":"pusher:subscription_error","channel":%s,"data":%s}`, quote(channel), quote(data)))
	if p.closed != nil {
		p.e.t.Fatalf("a refused subscribe closed the connection: %v", p.closed)
	}
}

// wantClosed checks that the router asked for the connection's close.
func (p *peer) wantClosed(r frame.CloseReason) {
	p.e.t.Helper()
	if p.closed == nil || *p.closed != r {
		p.e.t.Fatalf("closed with %v, want %v", p.closed, r)
	}
}

func member(id string) pusher.Member { return pusher.Member{UserID: id} }
