package redisbroker

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// errSilent: the connection stands, but what is published does not come.
var errSilent = errors.New("redisbroker: nothing came for three seconds, not even what this node says to itself")

// message is one event as it came.
type message struct {
	head
	envelope
	checked bool // the head was read after it had come
	lost    bool // numbers in front of it cannot be had
}

// isCache tells whether a channel has a last event.
func isCache(key string) bool {
	_, channel, _ := strings.Cut(key, string(separator))
	return pusher.KindOf(channel)&pusher.Cache != 0
}

// read opens what was published in a channel or is kept in its stream.
func (b *Broker) read(key, raw string) (*message, error) {
	h, sealed, err := splitHead(raw)
	if err != nil {
		return nil, err
	}
	e, err := b.seal.open(key, []byte(sealed))
	if err != nil {
		return nil, err
	}
	return &message{head: h, envelope: e}, nil
}

// message is told what comes, in the server's order.
func (l *lane) message(turn int, m rueidis.PubSubMessage) {
	b := l.b
	b.mu.Lock()
	if turn != l.turn {
		b.mu.Unlock()
		return
	}
	if m.Channel == l.canary {
		l.heard = time.Now()
		b.mu.Unlock()
		return
	}
	f := b.follows[m.Channel]
	mine, speaks := f != nil && f.lane == l, b.speaksLocked(l)
	b.mu.Unlock()
	if !mine {
		switch {
		case !speaks: // all masters of a Cluster bring the same
		case m.Channel == b.askChannel():
			b.questionLater(m.Message)
		case m.Channel == b.answerChannel():
			b.answered(m.Message)
		}
		return
	}
	msg, err := b.read(f.key, m.Message)
	if err != nil {
		b.refuse(f.key, err)
		return
	}
	b.stats.received.Add(1)
	switch {
	case msg.kind == kindControl:
		b.receiver.Told(f.key, string(msg.text))
		return
	case msg.kind == kindClientEvent && msg.node == b.node:
		return
	case msg.kind == kindClientEvent:
		b.receiver.Receive(router.Received{Key: f.key, Text: msg.text, Client: true})
		return
	}
	if !b.takeOrder(f, msg) {
		return
	}
	defer f.order.Unlock()
	if b.handOut(f, msg) {
		b.catchUpLater(l, f, msg)
	}
}

// speaksLocked tells whether a lane is the one that questions and answers are taken from.
func (b *Broker) speaksLocked(l *lane) bool {
	first := ""
	for host, other := range b.lanes {
		if other.up && (first == "" || host < first) {
			first = host
		}
	}
	return l.host == first
}

// takeOrder takes the order of a live channel. Of any other it keeps the message for the
// catch-up, which may be waiting for Redis with the order in its hands: the connection's
// other channels do not wait for that.
func (b *Broker) takeOrder(f *follow, m *message) bool {
	for {
		b.mu.Lock()
		if f.state != stateLive {
			if f.state == stateReading {
				if len(f.pending) < pendingMost {
					f.pending = append(f.pending, m)
				} else {
					f.over = true
				}
			}
			b.mu.Unlock()
			return false
		}
		taken := f.order.TryLock()
		b.mu.Unlock()
		if taken {
			return true
		}
		runtime.Gosched() // the catch-up has made it live and is about to let go
	}
}

// refuse counts and tells what is no envelope of this cluster.
func (b *Broker) refuse(key string, err error) {
	b.stats.refused.Add(1)
	b.logger.Error("something in Redis was not written by a node of this cluster, or with another cluster key: it is dropped",
		"channel", key, "err", err)
}

// catchUpLater takes a live channel back to reading: m came, and something before it did
// not.
func (b *Broker) catchUpLater(l *lane, f *follow, m *message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.state != stateLive || f.lane != l {
		return
	}
	b.stats.gaps.Add(1)
	l.readLocked(f, m)
}

// handOut hands an event out if it is the next one. True means that it is not, and that
// the stream must be asked. The caller holds f.order.
func (b *Broker) handOut(f *follow, m *message) (ask bool) {
	if m.kind == kindJoined || m.kind == kindLeft {
		return b.person(f, m)
	}
	b.mu.Lock()
	if f.rule.Events == 0 {
		m.head = head{} // a node that was told other rules gave it a number
	}
	at := f.at
	switch {
	case m.seq == 0:
	case m.epoch == at.Epoch && m.seq <= at.Seq:
		b.mu.Unlock()
		return false
	case m.epoch == at.Epoch && m.seq == at.Seq+1:
	case !m.checked:
		b.mu.Unlock()
		return true
	case m.epoch != at.Epoch:
		// The head was read after this had come, and it is not of this epoch: the event is one
		// of before.
		b.mu.Unlock()
		return false
	default:
		m.lost = true
	}
	b.moveLocked(f, m)
	b.mu.Unlock()
	b.deliver(f, m)
	return false
}

// moveLocked is called for the next event, before it is handed out: who joins from now on
// was there before it.
func (b *Broker) moveLocked(f *follow, m *message) {
	if m.seq != 0 {
		f.at = router.Position{Epoch: m.epoch, Start: m.start, Seq: m.seq}
	}
	if m.kind == kindLastEvent {
		f.cached = b.lastEventOf(m)
	}
}

func (b *Broker) lastEventOf(m *message) lastEvent {
	return lastEvent{
		event: router.LogEvent{Seq: m.seq, TimeMS: m.timeMS, Payload: router.AppendStored(nil, m.text, m.seq)},
		ends:  time.UnixMilli(m.timeMS).Add(b.receiver.CacheTTL()),
	}
}

func (b *Broker) deliver(f *follow, m *message) {
	if m.lost {
		b.stats.holes.Add(1)
	}
	b.receiver.Receive(router.Received{
		Key: f.key, Epoch: m.epoch, Start: m.start, Seq: m.seq, Origin: m.origin, Text: m.text, Lost: m.lost,
	})
}

// readersMost is how many channels of a lane are read back at once.
const readersMost = 16

func (l *lane) rouseReaders() {
	select {
	case l.readWake <- struct{}{}:
	default:
	}
}

// readers catches up with what was subscribed to, a batch after the other.
func (l *lane) readers() {
	for {
		select {
		case <-l.b.ctx.Done():
			return
		case <-l.gone:
			return
		case <-l.readWake:
		}
		for {
			l.b.mu.Lock()
			list := l.read[:min(len(l.read), subscribeMost)]
			l.read = l.read[len(list):]
			if len(l.read) == 0 {
				l.read = nil
			}
			l.b.mu.Unlock()
			if len(list) == 0 {
				break
			}
			l.catchUp(list)
		}
	}
}

// catchUp brings channels to their heads and makes them live. Those for which Redis does
// not answer are asked for again.
func (l *lane) catchUp(list []*follow) {
	b := l.b
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	// What is pending now came before the heads are read.
	b.mu.Lock()
	for _, f := range list {
		for _, m := range f.pending {
			m.checked = true
		}
	}
	b.mu.Unlock()
	heads, err := b.heads(ctx, l.client(), list)
	if err == nil {
		err = l.bringAll(ctx, list, heads)
	}
	if err == nil {
		return
	}
	b.logger.Debug("channels cannot be read back", "redis", l.host, "err", err)
	select {
	case <-b.ctx.Done():
	case <-time.After(redialLeast):
	}
	// Those that were brought are live by now.
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range list {
		if f.lane == l && f.state == stateReading {
			l.read = append(l.read, f)
		}
	}
}

// standing is what Redis says about a channel.
type standing struct {
	at     router.Position
	last   lastEvent
	people *people
	fault  error // it could not be asked
}

// heads asks where channels stand, and for their last events.
func (b *Broker) heads(ctx context.Context, client rueidis.CoreClient, list []*follow) ([]standing, error) {
	out := make([]standing, len(list))
	var calls []call
	var of []int
	b.mu.Lock()
	numbered := make([]bool, len(list))
	for i, f := range list {
		numbered[i] = f.rule.Events > 0
	}
	b.mu.Unlock()
	for i, f := range list {
		if numbered[i] {
			calls = append(calls, b.headCall(f.key))
			of = append(of, i)
		}
	}
	for i, r := range b.eval(ctx, client, headScript, calls) {
		at, err := position(r)
		if err != nil {
			if err := b.faultOf(&out[of[i]], err); err != nil {
				return nil, err
			}
		}
		out[of[i]].at = at
	}
	crowds, err := b.peopleOf(ctx, client, list)
	if err != nil {
		return nil, err
	}
	for i, f := range list {
		if out[i].people = crowds[f]; f.crowd && crowds[f] == nil {
			out[i].fault = unavailable(errAnswer)
		}
	}
	var gets []rueidis.Completed
	of = of[:0]
	for i, f := range list {
		if f.last {
			gets = append(gets, client.B().Get().Key(f.name+suffixCache).Build())
			of = append(of, i)
		}
	}
	if len(gets) == 0 {
		return out, nil
	}
	for i, r := range client.DoMulti(ctx, gets...) {
		raw, err := r.ToString()
		if rueidis.IsRedisNil(err) {
			continue
		}
		if err != nil {
			if err := b.faultOf(&out[of[i]], err); err != nil {
				return nil, err
			}
			continue
		}
		m, err := b.read(list[of[i]].key, raw)
		if err != nil {
			b.refuse(list[of[i]].key, err)
			continue
		}
		out[of[i]].last = b.lastEventOf(m)
	}
	return out, nil
}

// faultOf is for what Redis refused for one channel, out of memory or about to move it to
// another server: the others go on. Any other failure is all channels'.
func (b *Broker) faultOf(s *standing, err error) error {
	if _, ok := rueidis.IsRedisErr(err); !ok {
		return unavailable(err)
	}
	s.fault = unavailable(err)
	return nil
}

func (b *Broker) headCall(key string) call {
	name := b.keys.of(key)
	return call{[]string{name + suffixHead, name + suffixStream}, []string{newEpoch(), ms(b.conf.HeadAge)}}
}

// position reads {epoch, start, seq}.
func position(r rueidis.RedisResult) (router.Position, error) {
	fields, err := r.ToArray()
	if err != nil {
		return router.Position{}, err
	}
	at, err := readPlace(fields)
	if err != nil {
		return router.Position{}, err
	}
	if at.Epoch == "" {
		return router.Position{}, errHead
	}
	return at, nil
}

// readPlace reads epoch, start, seq; all three are empty for an event without a number.
func readPlace(fields []rueidis.RedisMessage) (router.Position, error) {
	if len(fields) != 3 {
		return router.Position{}, errHead
	}
	epoch, err := fields[0].ToString()
	if err != nil {
		return router.Position{}, err
	}
	start, err := fields[1].AsInt64()
	if err != nil {
		return router.Position{}, err
	}
	seq, err := fields[2].AsInt64()
	if err != nil {
		return router.Position{}, err
	}
	if start < 0 || seq < start || seq > maxSeq || len(epoch) > maxEpoch {
		return router.Position{}, errHead
	}
	return router.Position{Epoch: epoch, Start: uint64(start), Seq: uint64(seq)}, nil
}

// bringAll brings each of the channels to its head.
func (l *lane) bringAll(ctx context.Context, list []*follow, heads []standing) error {
	return each(readersMost, list, func(i int, f *follow) error {
		if heads[i].fault != nil {
			return heads[i].fault
		}
		return l.bring(ctx, f, heads[i])
	})
}

// bring hands out what a channel's subscribers lack up to a head, and what came
// meanwhile, and makes the channel live.
func (l *lane) bring(ctx context.Context, f *follow, head standing) error {
	b := l.b
	f.order.Lock()
	defer f.order.Unlock()
	b.mu.Lock()
	if f.lane != l || f.state != stateReading {
		b.mu.Unlock()
		return nil
	}
	at, first, numbered := f.at, !f.known, f.rule.Events > 0 && head.at.Epoch != ""
	if first {
		f.at, f.known = head.at, f.rule.Events == 0 || numbered
	}
	if head.last.ends.After(f.cached.ends) || first {
		f.cached = head.last
	}
	b.mu.Unlock()
	if head.people != nil {
		b.gather(f, head.people)
	}
	switch {
	case !numbered:
	case first:
		// Who joined while Redis could not be asked has no position yet.
		b.receiver.Stand(f.key, head.at)
	case head.at.Epoch != at.Epoch || head.at.Seq > at.Seq:
		if err := l.fill(ctx, f, at, head.at); err != nil {
			return err
		}
	}
	for {
		b.mu.Lock()
		if f.lane != l || f.state != stateReading {
			b.mu.Unlock()
			return nil
		}
		waiting := f.pending
		if f.pending = nil; len(waiting) == 0 {
			if f.over {
				f.over = false
				l.read = append(l.read, f)
				l.rouseReaders()
			} else {
				f.liveLocked()
			}
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		for i, m := range waiting {
			if b.handOut(f, m) {
				b.mu.Lock()
				f.pending = append(waiting[i:len(waiting):len(waiting)], f.pending...)
				l.read = append(l.read, f)
				l.rouseReaders()
				b.mu.Unlock()
				return nil
			}
		}
	}
}

// fillMost is how many events one question to a stream brings.
const fillMost = 256

// fill hands out the events from at to head, as far as they are kept. The caller holds
// f.order.
//
// The stream is what decides: each of its events says of which epoch it is. A head of
// another epoch that begins below at is one of a Redis that lost something; what it has
// given numbers to since is read from there.
func (l *lane) fill(ctx context.Context, f *follow, at, head router.Position) error {
	b := l.b
	from := at.Seq
	if head.Epoch != at.Epoch {
		from = min(from, head.Start)
	}
	client := l.client()
	for from < head.Seq {
		entries, err := client.Do(ctx, client.B().Xrange().Key(f.name+suffixStream).
			Start(entryID(from+1)).End(entryID(head.Seq)).Count(fillMost).Build()).AsXRange()
		if err != nil {
			return unavailable(err)
		}
		for _, e := range entries {
			id, _, _ := strings.Cut(e.ID, "-")
			seq, err := strconv.ParseUint(id, 10, 64)
			if err != nil || seq <= from {
				return errHole
			}
			from = seq // also past one that cannot be read
			m, err := b.read(f.key, e.FieldValues["b"])
			if err != nil {
				b.refuse(f.key, err)
				continue
			}
			b.next(f, m)
			b.stats.filled.Add(1)
		}
		if len(entries) < fillMost {
			break
		}
	}
	b.mu.Lock()
	stands := f.at.Epoch == head.Epoch && f.at.Seq >= head.Seq
	if !stands {
		f.at = head
	}
	b.mu.Unlock()
	if !stands {
		b.receiver.Stand(f.key, head)
	}
	return nil
}

// next hands out an event of the stream.
func (b *Broker) next(f *follow, m *message) {
	b.mu.Lock()
	if m.epoch == f.at.Epoch {
		if m.seq <= f.at.Seq {
			b.mu.Unlock()
			return
		}
		m.lost = m.seq > f.at.Seq+1
	}
	b.moveLocked(f, m)
	b.mu.Unlock()
	b.deliver(f, m)
}

func entryID(seq uint64) string { return strconv.FormatUint(seq, 10) + "-0" }
