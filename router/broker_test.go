package router

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// memBroker is a Broker in memory. What is published comes when the test says so.
type memBroker struct {
	*memLog
	to       Receiver
	follows  map[string]int
	coming   []Received
	relayed  []string
	away     bool
	recovers int
	rooms    map[string]*people
	parted   []func()
	other    []byte // what another node answers
}

func newMemBroker() *memBroker {
	return &memBroker{memLog: newMemLog(), follows: map[string]int{}, rooms: map[string]*people{}}
}

func withBroker(b *memBroker) option { return func(c *Config) { c.Broker = b } }

func (b *memBroker) Begin(r Receiver)    { b.to = r }
func (b *memBroker) Follow(key string)   { b.follows[key]++ }
func (b *memBroker) Unfollow(key string) { b.follows[key]-- }

func (b *memBroker) Relay(key string, text []byte) error {
	if b.away {
		return ErrBrokerUnavailable
	}
	b.relayed = append(b.relayed, string(text))
	return nil
}

// Head is the channel as far as its events have come.
func (b *memBroker) Head(key string) (Position, bool) {
	at, ok := b.memLog.Head(key)
	for _, e := range b.coming {
		if e.Key == key && e.Seq != 0 {
			at.Seq = min(at.Seq, e.Seq-1)
		}
	}
	return at, ok
}

func (b *memBroker) Recover(key string, rule Rule, epoch string, from uint64, max int) (Position, string) {
	b.recovers++
	b.comes() // as a broker waits until the node has come to the head
	return b.memLog.Recover(key, rule, epoch, from, max)
}

func (b *memBroker) Append(batch []LogAppend) error {
	for _, a := range batch {
		if b.away {
			a.Item.Done(LogResult{Err: ErrBrokerUnavailable})
			continue
		}
		res := b.append(a)
		if !res.Duplicate {
			b.coming = append(b.coming, Received{
				Key: a.Key, Epoch: res.Epoch, Start: res.Start, Seq: res.Seq, Origin: a.Origin,
				Text: slices.Clone(MessageStart(a.Item.AppendPayload(nil, "", 0))),
			})
		}
		a.Item.Done(res)
	}
	return nil
}

// comes hands out what was published.
func (b *memBroker) comes() {
	coming := b.coming
	b.coming = nil
	for _, e := range coming {
		b.to.Receive(e)
	}
}

func keepAll() option {
	return func(c *Config) {
		c.History = []HistoryRule{{"*", Rule{Events: 100, Age: time.Hour, Bytes: 1 << 20, Replay: true}}}
	}
}

func TestBrokerHandsOutWhatComesBack(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 2, withBroker(b), keepAll())
	p := e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	e.publish("news", "e", "1")
	e.pump()
	p.wantNothing()
	b.comes()
	e.pump()
	p.wantNumbered("news", 1, 1)

	t.Log("who joins between a publish and its coming gets it once")
	e.publish("news", "e", "2")
	q := e.dial(1)
	q.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":1}`)
	b.comes()
	e.pump()
	p.wantNumbered("news", 2, 2)
	q.wantNumbered("news", 2, 2)
}

func TestBrokerIsToldWhatTheNodeFollows(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 2, withBroker(b), func(c *Config) { c.History = nil })
	key := LogKey("app-id", "news")
	b.cold[key] = true // Redis has not confirmed it yet
	p, q := e.dial(0), e.dial(1)
	p.joined("news")
	if b.loads == 0 {
		t.Error("a subscriber was welcomed before its node followed the channel")
	}
	q.joined("news")
	if b.follows[key] != 1 {
		t.Errorf("followed %d times", b.follows[key])
	}
	p.unsubscribe("news")
	if b.follows[key] != 1 {
		t.Error("given up while there is a subscriber")
	}
	q.drop()
	if b.follows[key] != 0 {
		t.Errorf("still followed %d times", b.follows[key])
	}
}

func TestBrokerAway(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), keepAll())
	p := e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	b.away = true
	err := e.r.Publish(e.app, &Event{Name: "e", Data: "1", Channels: []string{"news"}})
	if !errors.Is(err, ErrBrokerUnavailable) {
		t.Errorf("%v", err)
	}

	t.Log("who polls meanwhile keeps its position")
	b.down = true
	b.cold[LogKey("app-id", "polled")] = true
	answer := e.get(0, "/app/app-key/poll?channel=polled&since=lifelife1:3").takeRaw()
	if !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "Retry-After: 1\r\n") || !strings.Contains(answer, `"code":"broker_unavailable"`) {
		t.Errorf("%s", answer)
	}

	t.Log("who waits is told of another epoch as of any other loss")
	b.down = false
	waits := e.get(0, "/app/app-key/poll?channel=waited&since=lifelife1:0&wait=30")
	b.channel(LogKey("app-id", "waited")).at.Epoch = "lifelife2"
	b.to.Stand(LogKey("app-id", "waited"), Position{Epoch: "lifelife2"})
	e.pump()
	waits.wantAnswer("200", "lifelife2:0", `{"next":"lifelife2:0","channels":[{"channel":"waited","recovered":false,"reason":"epoch","events":[]}]}`)
	b.down = true

	t.Log("who subscribes meanwhile is served, without a position, and told it when the broker is back")
	b.cold[LogKey("app-id", "other")] = true
	p.joinedWith("other", "")
	b.to.Stand(LogKey("app-id", "other"), Position{Epoch: "lifelife1", Seq: 5})
	e.pump()
	p.wantRaw(`{"event":"pusher_internal:position","channel":"other","data":"{}","position":{"epoch":"lifelife1","seq":5},"reason":"epoch"}`)
	b.to.Receive(Received{Key: LogKey("app-id", "other"), Epoch: "lifelife1", Seq: 6, Text: []byte(`{"event":"e","channel":"other","data":"6"`)})
	e.pump()
	p.wantNumbered("other", 6, 6)
}

// TestBrokerClientThatKnowsMore: a client comes from a node that was faster than this one.
func TestBrokerClientThatKnowsMore(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), keepAll())
	stays := e.dial(0)
	stays.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	e.publish("news", "e", "1")
	p := e.dial(0)
	p.recover("news", "lifelife1", 1)
	p.wantSucceeded("news", `,"position":{"epoch":"lifelife1","seq":1},"recovered":true,"replayed":0`)
	if b.recovers != 1 {
		t.Errorf("the broker was asked %d times", b.recovers)
	}
}

func TestBrokerSaysThatEventsAreLost(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), keepAll())
	p := e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	b.to.Receive(Received{Key: LogKey("app-id", "news"), Epoch: "lifelife1", Seq: 5, Lost: true, Text: []byte(`{"event":"e","channel":"news","data":"5"`)})
	e.pump()
	p.wantRaw(`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"lifelife1","seq":4},"reason":"epoch"}`)
	p.wantNumbered("news", 5, 5)
}

func TestBrokerRelaysClientEvents(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), func(c *Config) { c.History = nil })
	p, q := e.dial(0), e.dial(0)
	for _, one := range []*peer{p, q} {
		one.joined("private-a")
	}
	const said = `{"event":"client-x","channel":"private-a","data":"{}"}`
	if err := p.say(said); err != nil {
		t.Fatal(err)
	}
	e.pump()
	q.wantRaw(said)
	if len(b.relayed) != 1 || b.relayed[0] != said {
		t.Errorf("%q", b.relayed)
	}

	t.Log("from another node")
	b.to.Receive(Received{Key: LogKey("app-id", "private-a"), Client: true, Text: []byte(said)})
	e.pump()
	p.wantRaw(said)
	q.wantRaw(said)

	t.Log("nobody gets it when not everybody can")
	b.away = true
	if err := p.say(said); err != nil {
		t.Fatal(err)
	}
	e.pump()
	q.wantNothing()
	p.wantError(codeClientEvent, "client events: the server is busy, the event was not relayed")
}

func TestSplitKey(t *testing.T) {
	e := newEdge(t, 1)
	if app, channel, ok := e.r.splitKey(LogKey("app-id", "a")); !ok || app != e.app || channel != "a" {
		t.Errorf("%v %q %v", app, channel, ok)
	}
	for _, key := range []string{"", "app-id", LogKey("nobody", "a")} {
		if _, _, ok := e.r.splitKey(key); ok {
			t.Errorf("%q is a key", key)
		}
	}
}

// people is what the broker knows of one presence channel.
type people struct {
	version uint64
	list    []pusher.Member
	conns   map[string]int
}

func (b *memBroker) room(key string) *people {
	if b.rooms[key] == nil {
		b.rooms[key] = &people{conns: map[string]int{}}
	}
	return b.rooms[key]
}

func (b *memBroker) Enter(key string, m pusher.Member, most int) error {
	if b.away {
		return ErrBrokerUnavailable
	}
	p := b.room(key)
	if p.conns[m.UserID] == 0 {
		if len(p.list) >= most {
			return ErrPresenceFull
		}
		p.version++
		p.list = append(p.list, m)
		b.to.Present(key, p.version, []pusher.Member{m}, nil)
	}
	p.conns[m.UserID]++
	return nil
}

func (b *memBroker) Leave(key, userID string) {
	p := b.room(key)
	if p.conns[userID]--; p.conns[userID] == 0 {
		p.version++
		p.list = slices.DeleteFunc(p.list, func(m pusher.Member) bool { return m.UserID == userID })
		b.parted = append(b.parted, func() { b.to.Present(key, p.version, nil, []string{userID}) })
	}
}

// part tells what Leave was told: a broker does so later.
func (b *memBroker) part() {
	parted := b.parted
	b.parted = nil
	for _, tell := range parted {
		tell()
	}
}

func (b *memBroker) Members(key string) (uint64, []pusher.Member) {
	p := b.room(key)
	return p.version, slices.Clone(p.list)
}

func (b *memBroker) Tell(key, what string) error {
	if b.away {
		return ErrBrokerUnavailable
	}
	b.to.Told(key, what)
	return nil
}

func (b *memBroker) KeepsDurably() bool { return true }

// Ask has this node and one with three connections answer.
func (b *memBroker) Ask(what []byte) ([][]byte, error) {
	if b.away {
		return nil, ErrBrokerUnavailable
	}
	return [][]byte{b.to.Reply(what), b.other}, nil
}

func TestBrokerPresence(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 2, withBroker(b), func(c *Config) { c.History = nil }, withLimits(func(l *Limits) { l.PresenceMembers = 3 }))
	key := LogKey("app-id", "presence-a")
	if err := b.Enter(key, pusher.Member{UserID: "far"}, 3); err != nil { // on another node
		t.Fatal(err)
	}
	p := e.dial(0)
	if got := p.joinedAs("presence-a", "1").text(); got != `{"presence":{"ids":["far","1"],"hash":{"far":null,"1":{"name":"n-1"}},"count":2}}` {
		t.Errorf("the list is %s", got)
	}
	q := e.dial(1)
	q.joinedAs("presence-a", "2")
	p.wantRaw(`{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"2\",\"user_info\":{\"name\":\"n-2\"}}"}`)
	q.wantNothing()

	t.Log("a second connection of a user is no second user")
	again := e.dial(1)
	again.joinedAs("presence-a", "2")
	p.wantNothing()
	again.drop()
	e.pump()
	b.part()
	e.pump()
	p.wantNothing()

	t.Log("one more than may be there")
	over := e.dial(0)
	if err := over.present("presence-a", "3"); err != nil && !errors.Is(err, frame.ErrPause) {
		t.Fatal(err)
	}
	e.pump()
	over.wantRefused("presence-a", "LimitReached", 403, "presence members: 4, limit 3 (limits.presence_members)")

	t.Log("who goes is told when the broker says so")
	q.drop()
	e.pump()
	p.wantNothing()
	b.part()
	e.pump()
	p.wantRaw(`{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"2\"}"}`)

	t.Log("a repeated subscribe is one membership")
	p.joinedAs("presence-a", "1")
	if n := b.room(key).conns["1"]; n != 1 {
		t.Errorf("the broker counts %d connections", n)
	}

	t.Log("nobody is let in whom the others cannot be told of")
	b.away = true
	for _, channel := range []string{"presence-a", "presence-far"} {
		b.cold[LogKey("app-id", "presence-far")] = true // nobody on this node is there
		late := e.dial(0)
		if err := late.present(channel, "4"); err != nil && !errors.Is(err, frame.ErrPause) {
			t.Fatal(err)
		}
		e.pump()
		late.wantClosed(frame.OverCapacity.With(brokerAway))
		if n := b.room(LogKey("app-id", channel)).conns["4"]; n != 0 {
			t.Errorf("the broker counts %d connections of a user who was not let in", n)
		}
	}
	b.away = false
	for _, id := range []string{"x", "y", "z"} {
		if err := b.Enter(LogKey("app-id", "presence-far"), pusher.Member{UserID: id}, 3); err != nil {
			t.Fatal(err)
		}
	}
	b.cold[LogKey("app-id", "presence-far")] = true
	if err := over.present("presence-far", "4"); err != nil && !errors.Is(err, frame.ErrPause) {
		t.Fatal(err)
	}
	e.pump()
	over.wantRefused("presence-far", "LimitReached", 403, "presence members: 4, limit 3 (limits.presence_members)")
	p.drop()
	e.pump()
	if n := b.room(key).conns["1"]; n != 0 {
		t.Errorf("the broker counts %d connections when all have gone", n)
	}
}

// TestBrokerPresenceThatDies: the connection ends while the broker is told of its member.
func TestBrokerPresenceThatDies(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b))
	p := e.dial(0)
	if err := p.present("presence-a", "1"); err != nil && !errors.Is(err, frame.ErrPause) {
		t.Fatal(err)
	}
	p.drop() // the answer is in the inbox
	e.pump()
	if n := b.room(LogKey("app-id", "presence-a")).conns["1"]; n != 0 {
		t.Errorf("the broker counts %d connections", n)
	}
}

func TestBrokerUsers(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b))
	far := LogKey("app-id", OnlinePrefix+"far")
	if err := b.Enter(far, pusher.Member{UserID: "far"}, 1); err != nil {
		t.Fatal(err)
	}
	p := e.dial(0)
	if err := p.signin(`{"id":"me","watchlist":["far","near"]}`); err != nil && !errors.Is(err, frame.ErrPause) {
		t.Fatal(err)
	}
	e.pump()
	p.want("pusher:signin_success", "")
	p.wantRaw(string(pusher.AppendWatchlist(nil, []string{"far"}, []string{"near"})))

	q := e.dial(0)
	if err := q.signin(`{"id":"near"}`); err != nil {
		t.Fatal(err)
	}
	e.pump()
	q.want("pusher:signin_success", "")
	p.wantRaw(string(pusher.AppendWatchlist(nil, []string{"near"}, nil)))

	b.Leave(far, "far")
	b.part()
	e.pump()
	p.wantRaw(string(pusher.AppendWatchlist(nil, nil, []string{"far"})))

	t.Log("a user is terminated on all nodes")
	if err := e.r.Terminate(e.app, "near"); err != nil {
		t.Fatal(err)
	}
	e.pump()
	q.wantClosed(frame.Terminated)
	q.drop()
	e.pump()
	b.part()
	e.pump()
	p.wantRaw(string(pusher.AppendWatchlist(nil, nil, []string{"near"})))
	b.away = true
	if err := e.r.Terminate(e.app, "me"); !errors.Is(err, ErrBrokerUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestEverywhere(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), func(c *Config) { c.History = nil })
	e.dial(0).joined("news")
	e.dial(0).joinedAs("presence-a", "1")
	b.other = appendRow(appendRow(nil, row{"news", 3, 0}), row{"presence-b", 2, 2})
	list, err := e.r.ChannelsEverywhere(e.app, "", InfoSubscriptionCount|InfoUserCount)
	want := []NamedInfo{
		{"news", ChannelInfo{Occupied: true, SubscriptionCount: 4}},
		{"presence-a", ChannelInfo{Occupied: true, SubscriptionCount: 1, UserCount: 1}},
		{"presence-b", ChannelInfo{Occupied: true, SubscriptionCount: 2, UserCount: 2}},
	}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v %v", list, err)
	}
	b.other = appendRow(nil, row{"presence-a", 2, 1})
	if info, err := e.r.InfoEverywhere(e.app, "presence-a", InfoSubscriptionCount|InfoUserCount); err != nil || info != (ChannelInfo{Occupied: true, SubscriptionCount: 3, UserCount: 1}) {
		t.Errorf("%+v %v", info, err)
	}
	b.other = appendRow(nil, row{"", 40, 0})
	if n, err := e.r.ConnectionsEverywhere(e.app); err != nil || n != 42 {
		t.Errorf("%d %v", n, err)
	}
	if ids, err := e.r.UsersEverywhere(e.app, "presence-a"); err != nil || !slices.Equal(ids, []string{"1"}) {
		t.Errorf("%v %v", ids, err)
	}
	b.other = []byte{200}
	if _, err := e.r.ConnectionsEverywhere(e.app); err == nil {
		t.Error("an answer that cannot be read was taken")
	}
	b.away = true
	if _, err := e.r.ChannelsEverywhere(e.app, "", 0); !errors.Is(err, ErrBrokerUnavailable) {
		t.Errorf("%v", err)
	}
}

func FuzzQuestion(f *testing.F) {
	q := question{askChannels, "app-id", "presence-", true, false}
	f.Add(q.append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := readQuestion(raw)
		if err != nil {
			return
		}
		if again, err := readQuestion(q.append(nil)); err != nil || again != q {
			t.Fatalf("%x: %+v, again %+v %v", raw, q, again, err)
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add(appendRow(appendRow(nil, row{"news", 3, 0}), row{"presence-b", 2, 300}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rows []row
		if readRows(raw, func(r row) { rows = append(rows, r) }) != nil {
			return
		}
		var again []byte
		for _, r := range rows {
			again = appendRow(again, r)
		}
		i := 0
		if err := readRows(again, func(r row) {
			if r != rows[i] {
				t.Fatalf("%x: %+v became %+v", raw, rows[i], r)
			}
			i++
		}); err != nil || i != len(rows) {
			t.Fatalf("%x: %d of %d rows, %v", raw, i, len(rows), err)
		}
	})
}
