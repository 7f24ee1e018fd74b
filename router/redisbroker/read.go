package redisbroker

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
)

// errHole: numbers are missing in the middle of a stream.
var errHole = errors.New("redisbroker: a stream has holes")

// ask reads where a channel stands now.
func (b *Broker) ask(key string) (at router.Position, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	places, faults, err := positions(b.eval(ctx, b.client, headScript, []call{b.headCall(b.keys.of(key))})[0], 1)
	if err = cmp.Or(err, errors.Join(faults...)); err != nil {
		return router.Position{}, unavailable(err)
	}
	return places[0], nil
}

// Recover implements router.LogReader. The head is read from Redis each time: that a node
// has all up to what it last heard is no proof that nothing came afterwards.
func (b *Broker) Recover(key string, rule router.Rule, epoch string, from uint64, most int) (router.Position, string) {
	if rule.Events <= 0 || !rule.Replay {
		return router.Position{}, router.ReasonOff
	}
	at, err := b.ask(key)
	if err != nil {
		return at, router.ReasonUnavailable
	}
	switch missed := at.Seq - from; {
	case epoch != at.Epoch || from < at.Start:
		return at, router.ReasonEpoch
	case from > at.Seq:
		return at, router.ReasonAhead
	case from == at.Seq:
		return b.arrived(key, at)
	case missed > uint64(rule.Events):
		return at, router.ReasonExpired
	case missed > uint64(most):
		return at, router.ReasonTooMany
	}
	oldest, bytes, err := b.have(key, at.Epoch, from+1, at.Seq)
	switch {
	case errors.Is(err, router.ErrGone):
		return at, router.ReasonExpired
	case errors.Is(err, router.ErrBrokerUnavailable):
		return router.Position{}, router.ReasonUnavailable
	case err != nil:
		return at, router.ReasonUnavailable
	case bytes > rule.Bytes || time.Since(time.UnixMilli(oldest)) > rule.Age:
		return at, router.ReasonExpired
	}
	return b.arrived(key, at)
}

// reached waits until this node has handed out all up to a head: a client that comes from
// another node may know more than this one. The result is "" or ReasonUnavailable.
func (b *Broker) reached(key string, head router.Position) string {
	if b.await(key, func(f *follow) bool { return f.at.Epoch != head.Epoch || f.at.Seq >= head.Seq }) != nil {
		return router.ReasonUnavailable
	}
	return ""
}

// arrived is the answer of a recovery that has all, when this node has come to the head.
func (b *Broker) arrived(key string, head router.Position) (router.Position, string) {
	if reason := b.reached(key, head); reason != "" {
		return router.Position{}, reason
	}
	return head, ""
}

// have makes sure that all of from to to can be had, and tells the time of the first and
// the size of all as rules count it. What is in memory is not read again. ErrGone: the first is no
// longer kept.
func (b *Broker) have(key, epoch string, from, to uint64) (oldest, bytes int64, err error) {
	for low := from; low <= to; {
		high := min(to, (runOf(low)+1)*run)
		k := b.blocks.get(blockID{key, epoch, runOf(low)}, low, high)
		if k == nil {
			// What lacks is read in one go, to the end.
			events, err := b.stream(key, epoch, low, to)
			if err != nil {
				return 0, 0, err
			}
			b.blocks.putAll(key, epoch, events)
			for _, m := range events {
				bytes += int64(m.size())
			}
			if low == from {
				oldest = events[0].timeMS
			}
			return oldest, bytes, nil
		}
		if low == from {
			oldest = k.timeOf(low)
		}
		bytes += int64(k.sizeOf(low, high))
		low = high + 1
	}
	return oldest, bytes, nil
}

// stream reads all of from to to, which are of one epoch; "" = of any. ErrGone: the first is no longer kept; errHole: another
// one is not there.
func (b *Broker) stream(key, epoch string, from, to uint64) ([]*message, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	events := make([]*message, 0, min(to-from+1, 4*fillMost))
	name := b.keys.of(key) + suffixStream
	for next := from; next <= to; {
		entries, err := b.client.Do(ctx, b.client.B().Xrange().Key(name).Start(entryID(next)).End(entryID(to)).Count(fillMost).Build()).AsXRange()
		if err != nil {
			return nil, unavailable(err)
		}
		for _, e := range entries {
			m, err := b.read(key, e.FieldValues["b"])
			if err != nil {
				b.refuse(key, err)
				return nil, errHole
			}
			if epoch != "" && m.epoch != epoch {
				return nil, errHole // Redis has lost something, and given the numbers again
			}
			if m.seq != next {
				if len(events) == 0 {
					return nil, router.ErrGone
				}
				return nil, errHole
			}
			events = append(events, m)
			next++
		}
		if len(entries) == 0 {
			if len(events) == 0 {
				return nil, router.ErrGone
			}
			return nil, errHole
		}
	}
	return events, nil
}

// epochOf is the epoch under which this node reads a channel.
func (b *Broker) epochOf(key string) (at router.Position, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.follows[b.keys.of(key)]; f != nil && f.known {
		return f.at, true
	}
	return router.Position{}, false
}

// Block implements router.LogReader.
func (b *Broker) Block(key string, seq uint64) (router.LogBlock, error) {
	at, ok := b.epochOf(key)
	if !ok || seq > at.Seq {
		var err error
		if at, err = b.ask(key); err != nil {
			return nil, err
		}
	}
	if seq > at.Seq {
		return nil, router.ErrGone
	}
	to := min(at.Seq, (runOf(seq)+1)*run)
	events, err := b.stream(key, at.Epoch, seq, to)
	if err != nil {
		if errors.Is(err, errHole) {
			err = router.ErrGone
		}
		return nil, err
	}
	k := newBlock(events)
	b.blocks.put(blockID{key, at.Epoch, runOf(seq)}, k)
	return k, nil
}

// Hot implements router.LogReader.
func (b *Broker) Hot(key string, seq uint64) router.LogBlock {
	at, ok := b.epochOf(key)
	if !ok {
		return nil
	}
	if k := b.blocks.get(blockID{key, at.Epoch, runOf(seq)}, seq, seq); k != nil {
		return k
	}
	return nil
}

// rewindRead is how many events one look of a rewind reads.
const rewindRead = 1000

// Rewind implements router.LogReader.
func (b *Broker) Rewind(key string, rule router.Rule, events int, age time.Duration) (at router.Position, from uint64) {
	at, err := b.ask(key)
	if err != nil {
		return router.Position{Broken: true}, 0
	}
	if b.reached(key, at) != "" {
		return router.Position{Broken: true}, 0
	}
	if !rule.Replay {
		return at, at.Seq
	}
	most, since := rule.Events, time.Now().Add(-rule.Age)
	if events > 0 {
		most = min(most, events)
	}
	if age > 0 {
		if cut := time.Now().Add(-age); cut.After(since) {
			since = cut
		}
	}
	from, low, bytes := at.Seq, at.Seq-min(uint64(most), at.Seq-at.Start), int64(0)
	for from > low {
		kept, err := b.backwards(key, from, max(low, from-min(from, rewindRead)))
		if err != nil {
			return router.Position{Broken: true}, 0
		}
		if len(kept) == 0 {
			break
		}
		for _, m := range kept {
			bytes += int64(m.size())
			if m.seq != from || time.UnixMilli(m.timeMS).Before(since) || bytes > rule.Bytes {
				return at, from
			}
			from--
		}
	}
	return at, from
}

// backwards reads the events above low, the last one first.
func (b *Broker) backwards(key string, high, low uint64) ([]*message, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	entries, err := b.client.Do(ctx, b.client.B().Xrevrange().Key(b.keys.of(key)+suffixStream).
		End(entryID(high)).Start(entryID(low+1)).Build()).AsXRange()
	if err != nil {
		return nil, unavailable(err)
	}
	kept := make([]*message, 0, len(entries))
	for _, e := range entries {
		m, err := b.read(key, e.FieldValues["b"])
		if err != nil {
			b.refuse(key, err)
			break
		}
		kept = append(kept, m)
	}
	return kept, nil
}

// History implements router.LogReader.
func (b *Broker) History(key string, rule router.Rule, epoch string, from uint64, all bool, limit int, visit func(router.LogEvent) bool) (at router.Position, oldest uint64, reason string) {
	if rule.Events <= 0 {
		return router.Position{}, 1, router.ReasonOff
	}
	at, err := b.ask(key)
	if err != nil {
		return at, 0, router.ReasonUnavailable
	}
	oldest, err = b.oldest(key, rule, at)
	if err != nil {
		return at, 0, router.ReasonUnavailable
	}
	switch {
	case all:
		from = oldest - 1
	case epoch != at.Epoch:
		return at, oldest, router.ReasonEpoch
	case from > at.Seq:
		return at, oldest, router.ReasonAhead
	case from+1 < oldest:
		return at, oldest, router.ReasonExpired
	}
	if from >= at.Seq {
		return at, oldest, ""
	}
	events, err := b.stream(key, "", from+1, min(at.Seq, from+uint64(limit)))
	switch {
	case errors.Is(err, router.ErrGone):
		return at, oldest, router.ReasonExpired
	case err != nil:
		return at, oldest, router.ReasonUnavailable
	}
	for _, m := range events {
		if !visit(router.LogEvent{Seq: m.seq, TimeMS: m.timeMS, Payload: router.AppendStored(nil, m.text, m.seq)}) {
			break
		}
	}
	return at, oldest, ""
}

// oldest finds the first event that a rule still keeps, by halves: whether one is kept
// only ever changes once along a stream. One more than the head when none is.
func (b *Broker) oldest(key string, rule router.Rule, at router.Position) (uint64, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	first, found, err := b.entry(ctx, key, 0)
	if err != nil || !found {
		return at.Seq + 1, err
	}
	last, found, err := b.entry(ctx, key, at.Seq)
	if err != nil || !found {
		return at.Seq + 1, err
	}
	low, high := first.seq, at.Seq+1
	if n := uint64(rule.Events); at.Seq > n {
		low = max(low, at.Seq-n+1)
	}
	since := time.Now().Add(-rule.Age).UnixMilli()
	for low < high {
		middle := low + (high-low)/2
		m, found, err := b.entry(ctx, key, middle)
		switch {
		case err != nil:
			return 0, err
		case !found || m.timeMS >= since && last.total-m.total+int64(m.size()) <= rule.Bytes:
			high = middle
		default:
			low = middle + 1
		}
	}
	return low, nil
}

// entry is one of a stream.
type entry struct {
	*message
	total int64 // of all envelopes that the stream ever had, up to this one
}

// entry reads the first entry of a channel's stream that is not before seq.
func (b *Broker) entry(ctx context.Context, key string, seq uint64) (e entry, found bool, err error) {
	name := b.keys.of(key) + suffixStream
	entries, err := b.client.Do(ctx, b.client.B().Xrange().Key(name).Start(entryID(seq)).End("+").Count(1).Build()).AsXRange()
	if err != nil {
		return entry{}, false, unavailable(err)
	}
	if len(entries) == 0 {
		return entry{}, false, nil
	}
	if e.message, err = b.read(key, entries[0].FieldValues["b"]); err == nil {
		e.total, err = strconv.ParseInt(entries[0].FieldValues["t"], 10, 64)
	}
	if err != nil {
		b.refuse(key, err)
		return entry{}, false, errHole
	}
	return e, true, nil
}

// Answers are kept in Redis as well, so a retry may come to any node.

const (
	answerPrefix = "answer:"
	answerFixed  = 32 + 2
)

func (b *Broker) answerKey(id []byte) string {
	return b.keys.prefix + answerPrefix + escape(string(id))
}

// Answered implements router.LogAnswers.
func (b *Broker) Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	name := b.answerKey(id)
	raw, err := b.client.Do(ctx, b.client.B().Get().Key(name).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return sum, 0, nil, false, nil
	}
	if err != nil {
		return sum, 0, nil, false, unavailable(err)
	}
	e, err := b.seal.open(name, []byte(raw))
	if err != nil || e.kind != kindControl || len(e.text) < answerFixed {
		b.refuse(name, errors.Join(errEnvelope, err))
		return sum, 0, nil, false, nil
	}
	copy(sum[:], e.text)
	return sum, int(e.text[32])<<8 | int(e.text[33]), e.text[answerFixed:], true, nil
}

// Answer implements router.LogAnswers.
func (b *Broker) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	name := b.answerKey(id)
	text := append(append(sum[:len(sum):len(sum)], byte(status>>8), byte(status)), body...)
	err := b.client.Do(ctx, b.client.B().Set().Key(name).Value(b.sealed(name, kindControl, text)).Px(b.conf.IdempotencyAge).Build()).Error()
	if err != nil {
		return unavailable(err)
	}
	return nil
}
