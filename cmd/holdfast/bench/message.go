package bench

import (
	"encoding/json"
	"fmt"
)

// defaultActivity holds when the server names no activity_timeout. Unit: seconds.
const defaultActivity = 120

// message handles one message of the server, which it borrows.
func (l *loop) message(i uint32, c *conn, text []byte, now int64) {
	e := &l.envelope
	if !e.scan(text) {
		l.lose(i, c, errEnvelope.Error(), againLater)
		return
	}
	switch string(e.event) {
	case eventName:
		l.event(i, e, now)
	case "pusher:connection_established":
		l.greeted(i, c, e, now)
	case "pusher_internal:subscription_succeeded":
		l.subscribed(i, c, e, now)
	case "pusher:ping":
		l.tally.PingsAnswered++
		l.send(i, c, opText, pongText)
	case "pusher:error":
		l.refused(e)
	case "pusher:subscription_error", "pusher_internal:subscription_error":
		l.tally.sample(string(text))
		l.lose(i, c, "subscription refused", againNever)
	case "pusher_internal:position": // holdfast: events that this subscription does not get
		if t := l.trackOf(i, e.channel); t != nil {
			t.seq = e.headSeq()
		}
	}
}

// trackOf is the subscription of connection i to a channel, nil when it has none.
func (l *loop) trackOf(i uint32, name []byte) *track {
	channel, ok := l.plan.number(name)
	if !ok {
		return nil
	}
	slot, ok := l.plan.slot(l.share.from+int(i), channel)
	if !ok {
		return nil
	}
	return l.track(i, slot)
}

// track is the place of one subscription of connection i.
func (l *loop) track(i uint32, slot int) *track {
	return l.tracks.At(i*uint32(l.slots) + uint32(slot))
}

// event counts one reception. It allocates nothing.
func (l *loop) event(i uint32, e *envelope, now int64) {
	m, ok := parsePayload(e.data, &l.run)
	t := l.trackOf(i, e.channel)
	if !ok || t == nil || !t.on {
		l.tally.Foreign++
		return
	}
	if e.cached {
		return
	}
	if e.seq != 0 {
		gap, again := t.nextSeq(e.seq)
		l.tally.SeqGaps += one(gap)
		l.tally.SeqAgain += one(again)
	}
	switch t.judge(m) {
	case earlyMessage:
		l.tally.Early++
		return
	case duplicateMessage:
		l.tally.Duplicate++
		return
	case disorderedMessage:
		l.tally.Disordered++
	case overtakenMessage:
		l.tally.Overtaken++
	}
	l.tally.Received++
	l.tally.LastEvent = now
	l.tally.Delivery.Add(since(m.due, now))
	l.recent.Add(since(m.due, now))
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// greeted handles the server's greeting, and subscribes.
func (l *loop) greeted(i uint32, c *conn, e *envelope, now int64) {
	var hello struct {
		SocketID        string  `json:"socket_id"`
		ActivityTimeout float64 `json:"activity_timeout"`
	}
	if c.state != stateGreeting || json.Unmarshal(e.dataObject(), &hello) != nil || hello.SocketID == "" {
		l.lose(i, c, errGreeting.Error(), againLater)
		return
	}
	l.tally.Established.Add(since(c.began, now))
	c.activity = defaultActivity
	if s := hello.ActivityTimeout; s >= 1 {
		c.activity = uint16(min(s, 1<<16-1))
	}
	c.state = stateSubscribing
	l.out = l.out[:0]
	for slot := range l.slots {
		channel, ok := l.plan.channel(l.share.from+int(i), slot)
		if !ok {
			break
		}
		c.missing++
		l.text = l.appendSubscribe(l.text[:0], channel, hello.SocketID)
		l.out = appendMasked(l.out, opText, l.text)
	}
	if c.missing == 0 {
		l.complete(i, c, now)
		return
	}
	l.write(i, c, l.out)
}

func (l *loop) appendSubscribe(dst []byte, channel int, socketID string) []byte {
	dst = append(dst, `{"event":"pusher:subscribe","data":{"auth":"`...)
	if l.sign != nil {
		name := string(l.plan.appendName(nil, channel))
		dst = append(dst, l.sign.SignSubscription(socketID, name, "", false)...)
	}
	dst = append(dst, `","channel":"`...)
	dst = l.plan.appendName(dst, channel)
	return append(dst, `"}}`...)
}

// subscribed confirms one subscription.
func (l *loop) subscribed(i uint32, c *conn, e *envelope, now int64) {
	t := l.trackOf(i, e.channel)
	if t == nil || t.on || c.state != stateSubscribing {
		l.lose(i, c, "a success for what was not asked", againLater)
		return
	}
	channel, _ := l.plan.number(e.channel)
	t.seq = e.headSeq()
	// What is sent from now on must come.
	t.begin(l.board.startedOn(channel))
	if c.missing--; c.missing == 0 {
		l.complete(i, c, now)
	}
}

// complete notes that a connection has all its subscriptions.
func (l *loop) complete(i uint32, c *conn, now int64) {
	c.state = stateSubscribed
	c.deadline = 0
	l.underWay--
	l.connected++
	l.succeeded++
	l.stay(i, c, now)
	s := l.current()
	if s.kind != stepOpen {
		s.wave = 0
	}
	w := &l.tally.Waves[s.wave]
	w.Subscribe.Add(since(c.began, now))
	if !l.publishing() {
		l.recent.Add(since(c.began, now))
	}
	if s.kind == stepOpen {
		w.Subscribed++
		w.Ended = now
	}
}

func (l *loop) publishing() bool {
	k := l.current().kind
	return k == stepPublish || k == stepDrain
}

// refused counts a pusher:error. The Close frame that may follow decides.
func (l *loop) refused(e *envelope) {
	var fault struct {
		Code    *int   `json:"code"`
		Message string `json:"message"`
	}
	name := "none"
	if json.Unmarshal(e.dataObject(), &fault) == nil && fault.Code != nil {
		name = fmt.Sprint(*fault.Code)
	}
	count(l.tally.Errors, name, 1)
	l.tally.sample("pusher:error " + name + " " + fault.Message)
}
