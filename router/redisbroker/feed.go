package redisbroker

import (
	"errors"
	"runtime"
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
func (l *lane) message(turn uint32, m rueidis.PubSubMessage) {
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
		if now := f.stateLocked(); now != stateLive {
			if now == stateReading {
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
	if f.stateLocked() != stateLive || f.lane != l || b.follows[f.name] != f {
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
	if !f.numbered {
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
	if m.kind == kindLastEvent && f.last != nil {
		*f.last = b.lastEventOf(m)
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
