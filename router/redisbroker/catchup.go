package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
)

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
			list, more := l.toRead()
			if len(list) > 0 {
				l.catchUp(list)
			}
			if !more {
				break
			}
		}
	}
}

// toRead takes the channels that are to be caught up with next. From now on their heads are
// those of after the subscription, and what is pending came before them. more: it did not
// look at all.
func (l *lane) toRead() (list []*follow, more bool) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	s := scan{b: l.b}
	next := l.read.take()
	for _, f := range next {
		s.nextLocked()
		if f.lane != l || f.stateLocked() != stateReading || l.b.follows[f.name] != f {
			continue
		}
		f.unread = false
		for _, m := range f.pending {
			m.checked = true
		}
		s.n += len(f.pending)
		list = append(list, f)
	}
	return list, len(next) > 0
}

// bringsLocked tells whether a head that was asked for is of the subscription that a
// channel has now, and the channel waits for it.
func (l *lane) bringsLocked(f *follow) bool {
	return f.lane == l && f.stateLocked() == stateReading && !f.unread
}

// catchUp brings channels to their heads and makes them live. Those for which Redis does
// not answer are asked for again.
func (l *lane) catchUp(list []*follow) {
	b := l.b
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
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
	s := scan{b: b}
	for _, f := range list {
		if l.bringsLocked(f) {
			l.read.push(f, f.waiters != nil)
			l.rouseReaders()
		}
		s.nextLocked()
	}
}

// standing is what Redis says about a channel.
type standing struct {
	at     router.Position
	last   lastEvent
	people *people
	fault  error // it could not be asked
}

// heads asks where channels stand, who is there, and for their last events.
func (b *Broker) heads(ctx context.Context, client rueidis.CoreClient, list []*follow) ([]standing, error) {
	out := make([]standing, len(list))
	var numbered []int // in list
	b.mu.Lock()
	for i, f := range list {
		if f.numbered {
			numbered = append(numbered, i)
		}
	}
	b.mu.Unlock()
	if err := b.positions(ctx, client, list, numbered, out); err != nil {
		return nil, err
	}
	crowds, err := b.peopleOf(ctx, client, list)
	if err != nil {
		return nil, err
	}
	for i, f := range list {
		if out[i].people = crowds[f]; f.crowd != nil && crowds[f] == nil {
			out[i].fault = unavailable(errAnswer)
		}
	}
	var gets []rueidis.Completed
	var of []int
	for i, f := range list {
		if f.last != nil {
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
	if _, ok := rueidis.IsRedisErr(err); !ok && !errors.Is(err, errRefused) && !errors.Is(err, errHead) {
		return unavailable(err)
	}
	s.fault = unavailable(err)
	return nil
}

// headsMost bounds the channels of one call of the script: Redis does nothing else
// meanwhile.
const headsMost = 64

// positions asks where some channels of a list stand. A call names channels of one slot.
func (b *Broker) positions(ctx context.Context, client rueidis.CoreClient, list []*follow, some []int, out []standing) error {
	bySlot := map[uint16][]int{}
	for _, i := range some {
		bySlot[list[i].slot] = append(bySlot[list[i].slot], i)
	}
	var calls []call
	var of [][]int
	for _, all := range bySlot {
		for part := range slices.Chunk(all, headsMost) {
			names := make([]string, len(part))
			for k, i := range part {
				names[k] = list[i].name
			}
			calls, of = append(calls, b.headCall(names...)), append(of, part)
		}
	}
	for n, r := range b.eval(ctx, client, headScript, calls) {
		places, faults, err := positions(r, len(of[n]))
		for k, i := range of[n] {
			fault := err
			if err == nil {
				out[i].at, fault = places[k], faults[k]
			}
			if fault == nil {
				continue
			}
			if err := b.faultOf(&out[i], fault); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Broker) headCall(names ...string) call {
	c := call{args: append(make([]string, 0, 1+len(names)), ms(b.conf.HeadAge))}
	for _, name := range names {
		c.keys, c.args = append(c.keys, name+suffixHead, name+suffixStream), append(c.args, newEpoch())
	}
	return c
}

// errRefused: Redis refused to write a channel's head.
var errRefused = errors.New("redisbroker: Redis refused to write a head")

// positions reads n of {epoch, start, seq}, or {what is wrong}.
func positions(r rueidis.RedisResult, n int) (places []router.Position, faults []error, err error) {
	rows, err := r.ToArray()
	if err != nil {
		return nil, nil, err
	}
	if len(rows) != n {
		return nil, nil, errHead
	}
	places, faults = make([]router.Position, n), make([]error, n)
	for i := range rows {
		places[i], faults[i] = position(rows[i])
	}
	return places, faults, nil
}

func position(row rueidis.RedisMessage) (router.Position, error) {
	fields, err := row.ToArray()
	if err != nil {
		return router.Position{}, err
	}
	if len(fields) == 1 {
		words, _ := fields[0].ToString()
		return router.Position{}, fmt.Errorf("%w: %.200s", errRefused, words)
	}
	at, err := readPlace(fields)
	if err == nil && at.Epoch == "" {
		err = errHead
	}
	if err != nil {
		return router.Position{}, err
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
	if !l.bringsLocked(f) {
		b.mu.Unlock()
		return nil
	}
	at, first, numbered := f.at, !f.known, f.numbered && head.at.Epoch != ""
	if first {
		f.at, f.known = head.at, !f.numbered || numbered
	}
	if f.last != nil && (first || head.last.ends.After(f.last.ends)) {
		*f.last = head.last
	}
	b.mu.Unlock()
	if head.people != nil {
		b.gather(f, head.people)
	}
	switch {
	case !numbered:
	case first:
		// Who joined while Redis could not be asked, or before the channel had numbers, has no
		// position yet.
		b.receiver.Stand(f.key, head.at)
	case head.at.Epoch != at.Epoch || head.at.Seq > at.Seq:
		if err := l.fill(ctx, f, at, head.at); err != nil {
			return err
		}
	}
	for {
		b.mu.Lock()
		if !l.bringsLocked(f) {
			b.mu.Unlock()
			return nil
		}
		waiting := f.pending
		if f.pending = nil; len(waiting) == 0 {
			if f.over {
				f.over = false
				l.readSoonLocked(f)
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
				l.readSoonLocked(f)
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
