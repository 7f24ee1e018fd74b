package redisbroker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// Nodes ask each other on one pub/sub channel that all hear, and answer on one of who
// asked:
//
//	{prefix}ask       an envelope: id (16), the asking node's answer channel, a zero byte, the question
//	{prefix}reply:N   an envelope: id (16), incarnation (16), part (4), parts (4), a part of the answer
//
// Who is expected to answer is known from the leases, so a missing answer is seen.
const (
	askName    = "ask"
	answerName = "reply:"
	idBytes    = 16
	// partBytes bounds one message of an answer; a node with a million channels sends many.
	partBytes = 1 << 20
	// partsMost bounds what one node may answer.
	partsMost = 1024
	// answersMost is how many questions are answered at once.
	answersMost = 16
)

// asked is a question under way. Guarded by Broker.mu.
type asked struct {
	parts map[string]*answer // by incarnation
	news  chan struct{}
}

// answer is one node's.
type answer struct {
	parts [][]byte
	have  int
}

func (b *Broker) askChannel() string { return b.keys.prefix + askName }
func (b *Broker) answerChannel() string {
	return b.keys.prefix + answerName + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, b.node))
}

// Ask implements router.Broker.
func (b *Broker) Ask(what []byte) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	expected, _, err := b.leases(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	self, anew := b.lease.name, b.lease.anew
	b.mu.Unlock()
	// Redis may have forgotten who lives: it is told again within a lease's time.
	if !slices.Contains(expected, self) || time.Since(anew) < b.leaseTime() {
		return nil, unavailable(errUnanswered)
	}
	var raw [idBytes / 2]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	q := &asked{parts: map[string]*answer{}, news: make(chan struct{}, 1)}
	b.mu.Lock()
	b.asked[id] = q
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.asked, id)
		b.mu.Unlock()
	}()
	text := append([]byte(id+b.answerChannel()), 0)
	message := b.sealed(b.askChannel(), kindControl, append(text, what...))
	if err := b.client.Do(ctx, b.client.B().Publish().Channel(b.askChannel()).Message(message).Build()).Error(); err != nil {
		return nil, unavailable(err)
	}
	for {
		if all := b.complete(q, expected); all != nil {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, unavailable(errUnanswered)
		case <-q.news:
		}
	}
}

// complete puts the answers together when all are there; nil = some lack.
func (b *Broker) complete(q *asked, expected []string) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := [][]byte{}
	for _, node := range expected {
		a := q.parts[node]
		if a == nil || a.have < len(a.parts) {
			return nil
		}
		var whole []byte
		for _, part := range a.parts {
			whole = append(whole, part...)
		}
		all = append(all, whole)
	}
	return all
}

// questionLater has a question answered, unless too many are being answered: who asked
// asks again.
func (b *Broker) questionLater(raw string) {
	select {
	case b.answering <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-b.answering }()
		b.question(raw)
	}()
}

// question answers another node, or this one. Not on the connection's goroutine.
func (b *Broker) question(raw string) {
	e, err := b.seal.open(b.askChannel(), []byte(raw))
	if err != nil || len(e.text) < idBytes {
		b.refuse(b.askChannel(), err)
		return
	}
	id := e.text[:idBytes]
	channel, what, ok := bytes.Cut(e.text[idBytes:], []byte{0})
	if !ok {
		b.refuse(b.askChannel(), errEnvelope)
		return
	}
	to := string(channel)
	said := b.receiver.Reply(what)
	b.mu.Lock()
	node := b.lease.name
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	parts := max(1, (len(said)+partBytes-1)/partBytes)
	for part := range parts {
		text := append(append([]byte(nil), id...), node...)
		text = binary.BigEndian.AppendUint32(text, uint32(part))
		text = binary.BigEndian.AppendUint32(text, uint32(parts))
		text = append(text, said[part*partBytes:min(len(said), (part+1)*partBytes)]...)
		// Who does not hear it says so to whoever asked.
		_ = b.client.Do(ctx, b.client.B().Publish().Channel(to).Message(b.sealed(to, kindControl, text)).Build()).Error()
	}
}

const answerHead = idBytes + idBytes + 4 + 4

// answered takes a part of an answer.
func (b *Broker) answered(raw string) {
	e, err := b.seal.open(b.answerChannel(), []byte(raw))
	if err != nil || len(e.text) < answerHead {
		b.refuse(b.answerChannel(), err)
		return
	}
	node := string(e.text[idBytes : 2*idBytes])
	part := binary.BigEndian.Uint32(e.text[2*idBytes:])
	parts := binary.BigEndian.Uint32(e.text[2*idBytes+4:])
	if parts == 0 || parts > partsMost || part >= parts {
		b.refuse(b.answerChannel(), errEnvelope)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.asked[string(e.text[:idBytes])]
	if q == nil {
		return // too late
	}
	a := q.parts[node]
	if a == nil {
		a = &answer{parts: make([][]byte, parts)}
		q.parts[node] = a
	}
	if int(parts) == len(a.parts) && a.parts[part] == nil {
		a.parts[part] = e.text[answerHead:]
		a.have++
	}
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// Tell implements router.Broker.
func (b *Broker) Tell(key, what string) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	message := unnumbered + b.sealed(key, kindControl, []byte(what))
	if err := b.client.Do(ctx, b.rawPublish(b.client, b.keys.of(key), message)).Error(); err != nil {
		return unavailable(err)
	}
	return nil
}

var _ router.Broker = (*Broker)(nil)
