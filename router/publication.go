package router

import (
	"errors"
	"sync"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// Receipt tells what became of an event in one of its channels.
type Receipt struct {
	// Epoch and Seq are the event's own position. Epoch "" = it has none.
	Epoch string
	Seq   uint64
	// Duplicate: an event with the same idempotency key is there already, and this one
	// was not published again.
	Duplicate bool
	// Err says why the event did not get into this channel; nil = it did.
	Err error
}

// publication is one event of one channel on its way through the log.
type publication struct {
	// Immutable once it is appended.
	r        *Router
	app      *App
	ev       *Event
	channel  string
	except   connRef
	cache    time.Duration // > 0: it becomes the channel's last event
	rule     Rule
	start    []byte // the message up to its number
	deflated []byte // the same compressed, joinable; nil = not worth it
	began    int64  // monotonic ns
	group    *publishGroup

	logged  bool     // it goes through the log
	receipt *Receipt // written by Done, read when the group has ended
}

// publishGroup is the events of one publish, in memory that the next publish gets: the
// log touches an item no more when it is Done, and the batch not after Append.
type publishGroup struct {
	ended sync.WaitGroup
	items []publication // has room for all from the start: items are pointed to
	batch []LogAppend   // of those that go through the log
}

// groupKept bounds the group that is kept for the next publish, in channels, and
// startKept its messages, in bytes.
const (
	groupKept = 16
	startKept = 16 << 10
)

// newGroup has room for so many publications.
func (r *Router) newGroup(channels int) *publishGroup {
	g := r.groups.Get().(*publishGroup) //nolint:forcetypeassert // the pool holds nothing else
	if cap(g.items) < channels {
		g.items, g.batch = make([]publication, 0, channels), make([]LogAppend, 0, channels)
	}
	return g
}

// releaseGroup is called when every item that was appended is Done.
func (r *Router) releaseGroup(g *publishGroup) {
	if cap(g.items) > groupKept {
		return
	}
	for i := range g.items {
		start := g.items[i].start
		if cap(start) > startKept {
			start = nil
		}
		g.items[i] = publication{start: start[:0]}
	}
	clear(g.batch)
	g.items, g.batch = g.items[:0], g.batch[:0]
	r.groups.Put(g)
}

// publishLogged has the log order events, each in all of its channels, and returns
// when they were handed out, or could not be: all are queued, in order, or none. Not
// on a loop.
func (r *Router) publishLogged(app *App, events []*Event) error {
	total := 0
	for _, ev := range events {
		if r.busyFor(app, ev.Channels) {
			return ErrBusy
		}
		total += len(ev.Channels)
	}
	now := r.clock()
	group := r.newGroup(total)
	for _, ev := range events {
		ev.makeReceipts()
		except := r.exceptOf(ev)
		for i, channel := range ev.Channels {
			item := publication{r: r, app: app, ev: ev, channel: channel, except: except, rule: r.rule(app, channel), began: now}
			if ev.cacheable(channel) {
				item.cache = r.limits().CacheTTL
			}
			item.receipt = &ev.Receipts[i]
			item.logged = r.broker != nil || keepable(app, channel) && (item.rule.Events > 0 || item.cache > 0 || ev.IdempotencyKey != nil || ev.Durable)
			group.add(&item)
		}
	}
	if len(group.batch) > 0 {
		group.ended.Add(len(group.batch))
		if err := r.log.Append(group.batch); err != nil {
			return err // the group waits for its items for ever: nobody gets it again
		}
		group.ended.Wait()
	}
	err := group.finish()
	r.releaseGroup(group)
	return err
}

// add enters a copy of p and, if it goes through the log, what the log gets.
func (g *publishGroup) add(p *publication) {
	n := len(g.items)
	g.items = g.items[:n+1]
	item := &g.items[n]
	start := item.start // of a former publish
	*item = *p
	item.group, item.start = g, start
	if !item.logged {
		return // nothing of it is kept
	}
	item.encode()
	origin := item.ev.Except
	if len(origin) > socketIDBytes {
		origin = "" // nobody has such an id
	}
	g.batch = append(g.batch, LogAppend{
		Key: logKey(item.app, item.channel), Rule: item.rule, Durable: item.ev.Durable || item.rule.Durable, Cache: item.cache,
		Origin: origin, IdempotencyKey: item.ev.IdempotencyKey, Bytes: len(item.start) + 2*maxEnd, Item: item,
	})
}

// makeReceipts makes room for one receipt a channel.
func (ev *Event) makeReceipts() {
	if len(ev.Channels) == 1 {
		ev.only = [1]Receipt{}
		ev.Receipts = ev.only[:]
		return
	}
	ev.Receipts = make([]Receipt, len(ev.Channels))
}

// finish hands out what needs no log and returns the first fault, or that one which leaves
// it open what was delivered.
func (g *publishGroup) finish() (err error) {
	for i := range g.items {
		p := &g.items[i]
		if !p.logged {
			p.app.published[p.ev.source].Add(1)
			p.r.deliverTo(p.app, p.ev, p.channel, p.except, p.began)
		}
		if err == nil || errors.Is(p.receipt.Err, ErrUnanswered) {
			err = p.receipt.Err
		}
	}
	return err
}

// exceptOf is the connection that an event is not for.
func (r *Router) exceptOf(ev *Event) connRef {
	if ref := r.connOf(ev.Except); ref != (connRef{}) {
		return ref
	}
	return ev.sender
}

// connOf is the connection of this process that a socket id names; zero = none.
func (r *Router) connOf(socketID string) connRef {
	if socketID != "" {
		if loop, slot, gen, ok := r.socketIDs.Parse(socketID); ok {
			return connRef{slot: slot, gen: gen, loop: loop}
		}
	}
	return connRef{}
}

// encode makes everything of the event's bytes but its end, where a former start was.
func (p *publication) encode() {
	p.start = pusher.AppendEventHead(p.start[:0], p.ev.Name, p.channel, p.ev.Data)
	p.deflated = p.r.deflateStart(p.start)
}

// deflateStart compresses a message up to its number, joinable; nil when nobody could read
// that, or it is not worth it.
func (r *Router) deflateStart(start []byte) []byte {
	if len(start) <= deflateOver || r.deflaters.Load() == 0 {
		return nil
	}
	z := r.zippers.Get().(*frame.Deflater) //nolint:forcetypeassert // the pool holds nothing else
	defer r.zippers.Put(z)
	deflated := z.AppendStart(nil, start)
	if frame.DeflatedFrameLen(len(deflated), maxEnd) >= len(start) {
		return nil
	}
	return deflated
}

// maxEnd is the longest end of an event.
const maxEnd = len(`,"seq":9007199254740991}`)

// AppendPayload implements LogItem: a whole frame is stored, so that a replay is
// written as it is read.
func (p *publication) AppendPayload(dst []byte, _ string, seq uint64) []byte {
	return AppendStored(dst, p.start, seq)
}

// Done implements LogItem.
func (p *publication) Done(res LogResult) {
	defer p.group.ended.Done()
	*p.receipt = Receipt{Duplicate: res.Duplicate, Err: res.Err}
	if res.Err == nil && res.Seq != 0 {
		p.receipt.Epoch, p.receipt.Seq = res.Epoch, res.Seq
	}
	if res.Err != nil || res.Duplicate {
		return
	}
	p.app.published[p.ev.source].Add(1)
	if p.r.broker == nil {
		p.handOut(res)
	}
}

// handOut posts the event to the channel's loops. What they get is made between two
// looks at the directory: not at all for a channel without subscribers, and never
// under the lock.
func (p *publication) handOut(res LogResult) {
	dir := p.app.dir.shard(p.channel)
	dir.mu.Lock()
	if dir.channels[p.channel] == nil {
		p.cacheLocked(dir, res)
		dir.mu.Unlock()
		p.r.stats.recipients.observe(0)
		return
	}
	dir.mu.Unlock()

	d := p.delivery(res)
	members := uint32(0)
	dir.mu.Lock()
	p.cacheLocked(dir, res) // in one step with the posting: a subscriber gets one of the two
	if ch := dir.channels[p.channel]; ch != nil {
		members = ch.members
		p.r.handOutLocked(ch, p.rule, d, res)
	}
	dir.mu.Unlock()
	p.r.stats.recipients.observe(int64(members))
}

// cacheLocked makes the event its cache channel's last one.
func (p *publication) cacheLocked(dir *dirShard, res LogResult) {
	if p.cache > 0 {
		dir.cache.putLocked(p.r.clock(), p.cache, p.channel, p.ev.Name, p.ev.Data, res.Seq)
	}
}

// delivery is the event as the loops get it.
func (p *publication) delivery(res LogResult) *delivery {
	prepared := &frame.Prepared{Plain: res.Payload}
	if p.deflated != nil {
		end := pusher.AppendEventTail(nil, res.Seq)
		prepared.Deflated = frame.AppendDeflatedFrame(nil, frame.OpText, p.deflated, end)
	}
	d := &delivery{
		prepared: prepared, except: p.except, kind: sentEvent, app: p.app,
		size: int64(len(res.Payload)), payload: len(p.start) + 1, began: p.began,
		origin: p.ev.Except, seq: res.Seq,
	}
	if res.Seq != 0 {
		d.position = Position{Epoch: res.Epoch, Start: res.Start, Seq: res.Seq}
	}
	return d
}

// handOutLocked moves the channel's position and posts the event.
func (r *Router) handOutLocked(ch *channel, rule Rule, d *delivery, res LogResult) {
	switch {
	case res.Seq == 0:
		if rule.Events > 0 && !res.Logged {
			ch.at.Broken, d.breaks = true, true
		}
	case ch.at.Epoch == res.Epoch && res.Seq <= ch.at.Seq:
		// The channel was entered with a head that is this event or a later one: to its
		// members it was before their time.
		return
	default:
		if ch.at.Epoch != res.Epoch {
			r.announceEpochLocked(ch, res)
		}
		ch.at = Position{Epoch: res.Epoch, Start: res.Start, Seq: res.Seq}
	}
	r.postLocked(ch, d)
}

// announceEpochLocked tells the members that what they know of the channel's order
// has ended, and where the new order stands before its first event.
func (r *Router) announceEpochLocked(ch *channel, res LogResult) {
	text := pusher.AppendPosition(nil, ch.name, res.Epoch, res.Seq-1, ReasonEpoch)
	d := r.newDelivery(ch.app, sentReply, text, r.clock())
	d.breaks = true
	d.position = Position{Epoch: res.Epoch, Start: res.Start, Seq: res.Seq - 1}
	r.postLocked(ch, d)
}
