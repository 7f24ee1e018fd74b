package router

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

func (p *peer) recover(channel, epoch string, seq uint64) {
	p.e.t.Helper()
	p.subscribeWith(channel, fmt.Sprintf(`"recover":{"epoch":%s,"seq":%d}`, quote(epoch), seq))
}

// subscribeWith subscribes to a public channel with more members, and pumps.
func (p *peer) subscribeWith(channel, members string) {
	p.e.t.Helper()
	if err := p.sayf(`{"event":"pusher:subscribe","data":{"auth":"","channel":%s,%s}}`, quote(channel), members); err != nil && err != frame.ErrPause {
		p.e.t.Fatal(err)
	}
	p.e.pump()
}

func (p *peer) wantSucceeded(channel, rest string) {
	p.e.t.Helper()
	p.wantRaw(fmt.Sprintf(`{"event":"pusher_internal:subscription_succeeded","channel":%s,"data":"{}"%s}`, quote(channel), rest))
}

func (p *peer) wantNumbered(channel string, from, to uint64) {
	p.e.t.Helper()
	for seq := from; seq <= to; seq++ {
		p.wantRaw(fmt.Sprintf(`{"event":"e","channel":%s,"data":"%d","seq":%d}`, quote(channel), seq, seq))
	}
}

// publishRun publishes the events from to to of a channel, whose data is their number.
func (e *edge) publishRun(channel string, from, to int) {
	e.t.Helper()
	for i := from; i <= to; i++ {
		e.publish(channel, "e", fmt.Sprint(i))
	}
}

func TestRecovery(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 2, withLog(log, HistoryRule{"*", Rule{Events: 100, Age: time.Hour, Bytes: 1 << 20, Replay: true}}),
		withLimits(func(l *Limits) { l.RecoverEvents = 50; l.SubscribesPerSecond = 10_000 }))
	at := func(seq int) string { return fmt.Sprintf(`,"position":{"epoch":"lifelife1","seq":%d}`, seq) }

	t.Log("a channel without events has a position")
	p := e.dial(0)
	p.joinedWith("news", at(0))
	e.publishRun("news", 1, 7)
	p.wantNumbered("news", 1, 7)

	t.Log("everything that was missed comes in order, then what is new")
	q := e.dial(1)
	q.recover("news", "lifelife1", 3)
	q.wantSucceeded("news", at(3)+`,"recovered":true,"replayed":4`)
	q.wantNumbered("news", 4, 7)
	e.publishRun("news", 8, 8)
	q.wantNumbered("news", 8, 8)
	q.wantNothing()

	for name, c := range map[string]struct{ ask, answer string }{
		"idle":      {`"recover":{"epoch":"lifelife1","seq":8}`, at(8) + `,"recovered":true,"replayed":0`},
		"epoch":     {`"recover":{"epoch":"otherone","seq":8}`, at(8) + `,"recovered":false,"reason":"epoch"`},
		"ahead":     {`"recover":{"epoch":"lifelife1","seq":9}`, at(8) + `,"recovered":false,"reason":"ahead"`},
		"malformed": {`"recover":{"epoch":"lifelife1","seq":"8"}`, at(8) + `,"recovered":false,"reason":"malformed"`},
		"both":      {`"recover":{"epoch":"lifelife1","seq":8},"rewind":"x"`, at(8) + `,"recovered":true,"replayed":0`},
	} {
		t.Log(name)
		p := e.dial(0)
		p.subscribeWith("news", c.ask)
		p.wantSucceeded("news", c.answer)
		p.wantNothing()
		_ = name
	}

	t.Log("rewind: as many as are kept")
	r := e.dial(0)
	r.subscribeWith("news", `"rewind":3`)
	r.wantSucceeded("news", at(5)+`,"replayed":3`)
	r.wantNumbered("news", 6, 8)
	r.wantNothing()
	_ = r.unsubscribe("news")
	r.subscribeWith("news", `"rewind":"30s"`)
	r.wantSucceeded("news", at(0)+`,"replayed":8`)
	r.wantNumbered("news", 1, 8)
	r.subscribeWith("quiet", `"rewind":3`)
	r.wantSucceeded("quiet", at(0)+`,"replayed":0`)
	r.subscribeWith("news", `"rewind":0`)
	r.want("pusher:subscription_error", "news")

	t.Log("too many, and no longer kept")
	e.publishRun("news", 9, 160)
	far := e.dial(1)
	far.recover("news", "lifelife1", 109)
	far.wantSucceeded("news", at(160)+`,"recovered":false,"reason":"too_many"`)
	old := e.dial(1)
	old.recover("news", "lifelife1", 59)
	old.wantSucceeded("news", at(160)+`,"recovered":false,"reason":"expired"`)

	t.Log("what is only on the disk is fetched off the loop, and the connection waits")
	log.coldRead, log.cold[logKey(e.app, "news")] = true, true
	cold := e.dial(1)
	resumed := cold.resumed
	cold.recover("news", "lifelife1", 110)
	cold.wantSucceeded("news", at(110)+`,"recovered":true,"replayed":50`)
	cold.wantNumbered("news", 111, 160)
	if cold.resumed != resumed+1 || log.blocks == 0 {
		t.Errorf("%d resumes, %d block reads", cold.resumed-resumed, log.blocks)
	}
	e.checkEmpty()
}

func (p *peer) joinedWith(channel, rest string) {
	p.e.t.Helper()
	if err := p.subscribe(channel, ""); err != nil && err != frame.ErrPause {
		p.e.t.Fatal(err)
	}
	p.e.pump()
	p.wantSucceeded(channel, rest)
}

func TestRecoveryThatIsOff(t *testing.T) {
	log := newMemLog()
	keep := Rule{Events: 10, Age: time.Hour, Bytes: 1 << 20, Replay: true}
	grant := keep
	grant.Replay = false
	e := newEdge(t, 1, withLog(log, HistoryRule{"none-*", Rule{}}, HistoryRule{"grant-?", grant}, HistoryRule{"*", keep}))
	p := e.dial(0)
	p.joinedWith("none-a", "")
	e.publish("none-a", "e", "1")
	p.wantRaw(`{"event":"e","channel":"none-a","data":"1"}`)
	p.recover("none-b", "lifelife1", 0)
	p.wantSucceeded("none-b", `,"recovered":false,"reason":"off"`)
	e.publish("grant-a", "e", "1")
	p.recover("grant-a", "lifelife1", 0)
	p.wantSucceeded("grant-a", `,"position":{"epoch":"lifelife1","seq":1},"recovered":false,"reason":"off"`)
	p.subscribeWith("grant-b", `"rewind":5`)
	p.wantSucceeded("grant-b", `,"position":{"epoch":"lifelife1","seq":0},"recovered":false,"reason":"off"`)
	p.wantNothing()
	e.checkEmpty()

	bare := newEdge(t, 1)
	q := bare.dial(0)
	q.recover("news", "lifelife1", 3)
	q.wantSucceeded("news", `,"recovered":false,"reason":"off"`)
	q.subscribeWith("more", `"rewind":5`)
	q.wantSucceeded("more", "")
	bare.checkEmpty()
}

// TestExclusionLeavesNoHole: who is skipped for an event learns its position, live
// and when it recovers.
func TestExclusionLeavesNoHole(t *testing.T) {
	e := newEdge(t, 2, withLog(newMemLog()))
	p, q := e.dial(0), e.dial(1)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	q.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	former := p.id
	e.publishNow(&Event{Name: "e", Data: "1", Channels: []string{"news"}, Except: former})
	e.publishNow(&Event{Name: "e", Data: "2", Channels: []string{"news"}})
	e.pump()
	p.wantRaw(`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"lifelife1","seq":1}}`)
	p.wantNumbered("news", 2, 2)
	q.wantNumbered("news", 1, 2)

	again := e.dial(1)
	again.subscribeWith("news", fmt.Sprintf(`"recover":{"epoch":"lifelife1","seq":0,"socket_id":%s}`, quote(former)))
	again.wantSucceeded("news", `,"position":{"epoch":"lifelife1","seq":0},"recovered":true,"replayed":2`)
	again.wantRaw(`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"lifelife1","seq":1}}`)
	again.wantNumbered("news", 2, 2)
	e.checkEmpty()
}

// TestJoinBetweenLogAndHandOut: an event that is in the log but not yet handed out
// when a channel is entered was before the subscriber's time.
func TestJoinBetweenLogAndHandOut(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 1, withLog(log))
	log.hold, log.appended = true, make(chan struct{})
	published := make(chan error)
	go func() { published <- e.r.Publish(e.app, &Event{Name: "e", Data: "1", Channels: []string{"news"}}) }()
	<-log.appended
	p := e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":1}`)
	log.hold, log.appended = false, nil
	log.release()
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	e.pump()
	p.wantNothing()
	e.publish("news", "e", "2")
	p.wantNumbered("news", 2, 2)
	e.checkEmpty()
}

// TestUnloggedEvents: what the log could not keep is delivered without a number, and
// nobody can recover across it.
func TestUnloggedEvents(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 1, withLog(log))
	p := e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	e.publishRun("news", 1, 2)
	p.wantNumbered("news", 1, 2)
	log.full = true
	e.publish("news", "e", "lost")
	p.wantRaw(`{"event":"e","channel":"news","data":"lost"}`)
	q := e.dial(0)
	q.recover("news", "lifelife1", 2)
	q.wantSucceeded("news", `,"recovered":false,"reason":"unavailable"`)
	if err := e.r.Publish(e.app, &Event{Name: "e", Channels: []string{"news"}, Durable: true}); err != ErrLogUnavailable {
		t.Errorf("durable: %v", err)
	}
	log.full = false
	e.publish("news", "e", "3")
	for _, c := range []*peer{p, q} {
		c.wantRaw(`{"event":"pusher_internal:position","channel":"news","data":"{}","position":{"epoch":"epoch00001","seq":2},"reason":"epoch"}`)
		c.wantNumbered("news", 3, 3)
	}
	r := e.dial(0)
	r.recover("news", "lifelife1", 2)
	r.wantSucceeded("news", `,"position":{"epoch":"epoch00001","seq":3},"recovered":false,"reason":"epoch"`)
	r.recover("news", "epoch00001", 1)
	r.wantSucceeded("news", `,"position":{"epoch":"epoch00001","seq":3},"recovered":false,"reason":"epoch"`)

	t.Log("a log that cannot answer is no reason to refuse a subscriber")
	log.down, log.cold[logKey(e.app, "other")] = true, true
	s := e.dial(0)
	s.joinedWith("other", "")
	s.recover("other", "lifelife1", 0)
	s.wantSucceeded("other", `,"recovered":false,"reason":"unavailable"`)
	log.cold[logKey(e.app, "third")] = true
	s.subscribeWith("third", `"rewind":3`)
	s.wantSucceeded("third", `,"recovered":false,"reason":"unavailable"`)
	e.checkEmpty()
}

// TestSlowReaderCatchesUp: a subscriber that does not read becomes a cursor, and gets
// everything once it reads again; without history it is closed.
func TestSlowReaderCatchesUp(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 1, withLog(log, HistoryRule{"none-*", Rule{}}, HistoryRule{"*", Rule{Events: 500, Age: time.Hour, Bytes: 1 << 20, Replay: true}}))
	p, q := e.dial(0), e.dial(0)
	p.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	q.joinedWith("news", `,"position":{"epoch":"lifelife1","seq":0}`)
	p.joinedWith("other", `,"position":{"epoch":"lifelife1","seq":0}`)
	p.stuck = true
	e.publishRun("news", 1, 300)
	q.wantNumbered("news", 1, 300)
	if p.closed != nil {
		t.Fatalf("closed with %v", p.closed)
	}
	p.unstick()
	e.pump()
	p.wantNumbered("news", 1, 300)
	e.publishRun("news", 301, 301)
	e.publish("other", "e", "1")
	p.wantNumbered("news", 301, 301)
	p.wantNumbered("other", 1, 1)
	p.wantNothing()
	if p.held {
		t.Error("still under Hold")
	}

	t.Log("beyond what is kept there is no way back")
	p.stuck = true
	for i := 302; i <= 302+600; i++ {
		e.publish("news", "e", fmt.Sprint(i))
	}
	p.unstick()
	e.pump()
	p.wantNumbered("news", 302, 302+peerQueue-1)
	p.want("pusher:error", "")
	p.wantClosed(frame.Slow)

	t.Log("nor on a channel without history")
	r := e.dial(0)
	r.joinedWith("none-a", "")
	r.stuck = true
	for range peerQueue + 1 {
		e.publish("none-a", "e", "x")
	}
	r.wantClosed(frame.Slow)
	e.checkEmpty()
}

// TestSlowReaderOfTwoChannels: a block that comes from the disk while another channel
// of the connection fills its socket waits, and does not overflow it.
func TestSlowReaderOfTwoChannels(t *testing.T) {
	log := newMemLog()
	e := newEdge(t, 1, withLog(log))
	p := e.dial(0)
	p.joinedWith("a", `,"position":{"epoch":"lifelife1","seq":0}`)
	p.joinedWith("b", `,"position":{"epoch":"lifelife1","seq":0}`)
	p.stuck = true
	for i := 1; i <= 200; i++ {
		e.publish("a", "e", fmt.Sprint(i))
		e.publish("b", "e", fmt.Sprint(i))
	}
	log.coldKey, p.strict = logKey(e.app, "a"), true
	for range 50 {
		p.unstick()
		p.stuck = true
		e.pump()
	}
	p.unstick()
	e.pump()
	if p.closed != nil {
		t.Fatalf("closed with %v", p.closed)
	}
	last := map[string]uint64{}
	for _, m := range p.got {
		if m.Event == "e" {
			if m.Seq != last[m.Channel]+1 {
				t.Fatalf("%s: %d after %d", m.Channel, m.Seq, last[m.Channel])
			}
			last[m.Channel] = m.Seq
		}
	}
	if last["a"] != 200 || last["b"] != 200 {
		t.Errorf("got %v", last)
	}
	e.checkEmpty()
}

// TestRecoveryUnderLoad plays random publishes, drops, recoveries and stuck sockets,
// with loops that move at their own pace, and holds each client's record against the
// log: no event is missing, repeated or out of order.
func TestRecoveryUnderLoad(t *testing.T) {
	seeds := uint64(20)
	if invariant.On {
		seeds = 4 // each walk is verified
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runRecoveries(t, seed) })
	}
}

type reader struct {
	peer    *peer
	channel string
	at      uint64 // last number seen
	epoch   string
	joined  bool
	left    uint64 // events that a recovery still owes
}

func runRecoveries(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	log := newMemLog()
	log.coldRead = seed%3 == 0
	e := newEdge(t, 1+rng.IntN(3), withLog(log, HistoryRule{"*", Rule{Events: 400, Age: time.Hour, Bytes: 1 << 30, Replay: true}}),
		withLimits(func(l *Limits) { l.SubscribesPerSecond, l.FramesPerSecond = 100_000, 100_000 }))
	if seed%2 == 0 {
		e.step = int64(700 * time.Microsecond) // walks are cut
	}
	channels := []string{"a", "b", "presence-c"}
	var readers []*reader
	published := map[string]uint64{}
	serial := 0
	connect := func(r *reader, recover bool) {
		serial++
		p := e.dial(rng.IntN(len(e.loops)))
		r.peer, r.joined, r.left = p, false, 0
		p.onMsg = func(m message) { r.receive(t, m) }
		more := ""
		if recover {
			more = fmt.Sprintf(`,"recover":{"epoch":%s,"seq":%d}`, quote(r.epoch), r.at)
		}
		data := ""
		auth := ""
		if strings.HasPrefix(r.channel, "presence-") {
			data = fmt.Sprintf(`{"user_id":"%d"}`, serial)
			auth = sign(p.id + ":" + r.channel + ":" + data)
			more += `,"channel_data":` + quote(data)
		}
		if err := p.sayf(`{"event":"pusher:subscribe","data":{"auth":%s,"channel":%s%s}}`, quote(auth), quote(r.channel), more); err != nil && err != frame.ErrPause {
			t.Fatal(err)
		}
	}
	for range 6000 {
		switch n := rng.IntN(100); {
		case n < 8 && len(readers) < 300:
			r := &reader{channel: channels[rng.IntN(len(channels))]}
			connect(r, false)
			readers = append(readers, r)
		case n < 12 && len(readers) > 0:
			r := readers[rng.IntN(len(readers))]
			if !r.joined {
				continue
			}
			r.peer.drop()
			connect(r, true)
		case n < 18 && len(readers) > 0:
			readers[rng.IntN(len(readers))].peer.stuck = true
		case n < 28 && len(readers) > 0:
			readers[rng.IntN(len(readers))].peer.unstick()
		case n < 60:
			c := channels[rng.IntN(len(channels))]
			published[c]++
			e.publishNow(&Event{Name: "e", Data: fmt.Sprint(published[c]), Channels: []string{c}})
		default:
			e.loops[rng.IntN(len(e.loops))].turn()
		}
		for i := 0; i < len(readers); i++ {
			if readers[i].peer.closed != nil { // too slow even for the log: it says so
				readers[i].peer.drop()
				readers = append(readers[:i], readers[i+1:]...)
				i--
			}
		}
	}
	e.pump()
	for _, r := range readers {
		r.peer.unstick()
	}
	e.pump()
	for i, r := range readers {
		if r.peer.closed == nil && (!r.joined || r.at != published[r.channel] || r.left != 0) {
			t.Errorf("reader %d of %s stands at %d of %d, %d owed, joined %v, held %v", i, r.channel, r.at, published[r.channel], r.left, r.joined, r.peer.held)
		}
	}
	e.checkEmpty()
}

func (r *reader) receive(t *testing.T, m message) {
	switch m.Event {
	case "pusher_internal:subscription_succeeded":
		var more struct {
			Position struct {
				Epoch string
				Seq   uint64
			}
			Recovered *bool
			Replayed  uint64
		}
		mustUnmarshal(t, m.raw, &more)
		if more.Recovered != nil && (!*more.Recovered || more.Position.Seq != r.at) {
			// Expired or too many: honest, and it goes on from the head.
			if *more.Recovered || !strings.Contains(m.raw, `"reason"`) {
				t.Errorf("at %d: %s", r.at, m.raw)
			}
		}
		r.at, r.epoch, r.joined, r.left = more.Position.Seq, more.Position.Epoch, true, more.Replayed
	case "e":
		if m.Seq != r.at+1 || m.text() != fmt.Sprint(m.Seq) {
			t.Errorf("%s: after %d came %s", r.channel, r.at, m.raw)
		}
		r.at = m.Seq
		if r.left > 0 {
			r.left--
		}
	}
}

func mustUnmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
