package persist

import (
	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// fate is what becomes of one event of a group.
type fate uint8

const (
	// fateLogged: the event has a seq and is in the journal.
	fateLogged fate = iota
	// fateLoose: the channel keeps no history; its key or last event may be in the
	// journal.
	fateLoose
	// fateUnlogged: the channel keeps history, but the log cannot write.
	fateUnlogged
	// fateDuplicate: the idempotency key was seen before.
	fateDuplicate
	// fateRefused: durable, and the log cannot write.
	fateRefused
)

// plan is one event of the group under way.
type plan struct {
	event *Append
	c     *channel // nil when nothing is kept of the channel
	fate  fate
	// record: part of the group's bytes; [from, to) is the payload, in the group's
	// buffer if inGroup, else in the loose one.
	record   bool
	inGroup  bool
	from, to int
	durable  bool      // Done waits for the sync of this group
	state    headState // of the channel, with this event
	timeMS   int64
	id       string // in the table of idempotency keys; "" = none
	former   former // fateDuplicate
}

// group is the scratch space of one group. buf and loose are new for each group:
// payloads point into them for as long as anybody keeps one.
type group struct {
	nowMS  int64
	buf    []byte
	loose  []byte
	plans  []plan
	now    []int             // plans that are handed out at once
	fresh  map[string]former // idempotency keys of this group
	events int               // logged events
	each   int               // bytes of an event in the last groups
	spare  int               // bytes of the last group's loose buffer
}

// maxGroupBytes ends a group early; one event may take it over.
const maxGroupBytes = 4 << 20

// step takes the next group from work through the journal and hands it out.
func (s *shard) step() {
	s.owner.Check()
	l, g := s.log, &s.g
	s.flight.Lock()
	s.number++
	g.begin(l.nowMS(), min(len(s.work)-s.done, l.cfg.GroupEvents))
	write := l.canWrite(g.nowMS)
	events, size := 0, 0
	for s.done < len(s.work) && events < l.cfg.GroupEvents && len(g.buf) < maxGroupBytes {
		e := &s.work[s.done]
		s.done++
		events++
		size += e.size()
		g.plans = append(g.plans, s.plan(e, write))
	}
	l.queued.release(events, size)

	number := uint64(0)
	if len(g.buf) > journal.FrameLen {
		var err error
		if number, err = l.journal.Append(g.buf); err != nil {
			l.writeFailed("write", err, g.nowMS)
			s.replan()
		} else {
			l.writeWorked()
			l.stats.group(g.events)
		}
	} else {
		number = l.journal.Groups()
	}
	waits := s.index(number)
	s.flight.Unlock()

	if waits {
		l.wantSync()
	}
	for _, i := range g.now {
		s.handOut(&g.plans[i])
	}
	g.end()
}

// begin makes room for about n events.
func (g *group) begin(nowMS int64, n int) {
	g.nowMS = nowMS
	g.buf = make([]byte, journal.FrameLen, journal.FrameLen+min(n*max(256, g.each+g.each/8), maxGroupBytes))
	g.loose = nil
	g.events = 0
}

func (g *group) end() {
	if n := len(g.plans); n > 0 {
		g.each = (3*g.each + len(g.buf)/n) / 4
	}
	g.buf, g.loose = nil, nil
	clear(g.plans)
	g.plans, g.now = g.plans[:0], g.now[:0]
	clear(g.fresh)
}

// plan gives one event its place and appends its bytes.
func (s *shard) plan(e *Append, write bool) plan {
	p := plan{event: e, timeMS: s.g.nowMS}
	history := e.Rule.Events > 0
	var err error
	switch {
	case history || e.Cache > 0 || len(e.IdemKey) > 0:
		p.c, err = s.obtain(e.Key)
	default:
		p.c = s.find(e.Key) // its order counts, if something of it waits
	}
	if err != nil {
		// The head is there but cannot be read: the channel begins anew without it.
		s.log.readFailed("head", err)
		p.c = s.orphan(e.Key)
	}
	if len(e.IdemKey) > 0 {
		p.id = eventID(e.Key, e.IdemKey)
		if f, ok := s.seen(p.id); ok {
			p.fate, p.former = fateDuplicate, f
			return p
		}
	}
	switch {
	case !write:
		s.planUnwritten(&p, history)
	case history:
		s.planLogged(&p)
	default:
		s.planLoose(&p)
	}
	if p.id != "" && p.fate != fateRefused {
		s.remember(&p)
	}
	return p
}

// planLogged takes the channel's next seq.
func (s *shard) planLogged(p *plan) {
	e, c, g := p.event, p.c, &s.g
	s.save(c)
	state := c.next
	state.seq++
	state.timeMS = max(g.nowMS, state.timeMS)
	state.life = s.log.meta.Load().life
	// The first event that is not durable waits like a durable one: before it is
	// handed out the disk must know that a power cut ends the epoch.
	p.durable = e.Durable || e.Rule.Durable || state.durable
	state.durable = e.Rule.Durable
	r := record{
		kind: kindEvent, class: uint8(segment.ClassOf(e.Rule.Age)), life: state.life,
		timeMS: state.timeMS, seq: state.seq, start: state.era.start, id: idBytes(p.id),
	}
	if state.durable {
		r.flags |= flagDurable
	}
	r.cached(e)
	at := len(g.buf)
	g.buf = appendRecord(g.buf, &r, e.Key, state.era.epoch, e.Origin)
	p.from = len(g.buf)
	g.buf = e.Item.AppendPayload(g.buf, state.era.epoch, state.seq)
	p.to = len(g.buf)
	state.total += uint64(p.to - p.from)
	endRecord(g.buf, at, p.to-p.from, state.total)
	c.next = state
	p.fate, p.state, p.timeMS, p.record, p.inGroup = fateLogged, state, state.timeMS, true, true
	g.events++
}

// cached marks a record whose event becomes the channel's last one.
func (r *record) cached(e *Append) {
	if e.Cache > 0 {
		r.flags |= flagCached
		r.ttl = uint32(min(max(1, int64(e.Cache.Seconds())), 1<<31))
	}
}

// planLoose is for a channel without history: only what must outlive the process is
// written.
func (s *shard) planLoose(p *plan) {
	e, g := p.event, &s.g
	p.fate = fateLoose
	if e.Cache <= 0 && p.id == "" {
		s.finishLoose(p, "")
		return
	}
	s.save(p.c)
	state := &p.c.next
	r := record{
		kind: kindEvent, class: uint8(segment.ClassOf(e.Rule.Age)), life: state.life,
		timeMS: g.nowMS, start: 0, id: idBytes(p.id),
	}
	r.cached(e)
	at := len(g.buf)
	g.buf = appendRecord(g.buf, &r, e.Key, state.era.epoch, e.Origin)
	p.from, p.to = len(g.buf), len(g.buf)
	if e.Cache > 0 {
		g.buf = e.Item.AppendPayload(g.buf, "", 0)
		p.to, p.inGroup = len(g.buf), true
	}
	endRecord(g.buf, at, p.to-p.from, 0)
	p.record, p.durable = true, e.Durable
	if e.Cache <= 0 {
		s.finishLoose(p, "")
	}
}

// planUnwritten is for any event while the log cannot write.
func (s *shard) planUnwritten(p *plan, history bool) {
	e := p.event
	switch {
	case e.Durable || e.Rule.Durable:
		p.fate = fateRefused
	case history:
		p.fate = fateUnlogged
		s.finishLoose(p, p.c.next.era.epoch)
	default:
		p.fate = fateLoose
		s.finishLoose(p, "")
	}
}

// finishLoose makes the bytes of an event that has no seq.
func (s *shard) finishLoose(p *plan, epoch string) {
	g := &s.g
	if g.loose == nil {
		g.loose = make([]byte, 0, max(512, g.spare))
	}
	p.from = len(g.loose)
	g.loose = p.event.Item.AppendPayload(g.loose, epoch, 0)
	p.to = len(g.loose)
	p.inGroup = false
	g.spare = min(max(len(g.loose), g.spare*7/8), maxGroupBytes)
}

// save keeps where the channel stood before this group.
func (s *shard) save(c *channel) {
	if c.stepped != s.number {
		c.stepped, c.before = s.number, c.next
	}
}

// replan goes over the group again after its write failed: every place that was
// taken is given back, and nothing of it is logged.
func (s *shard) replan() {
	g := &s.g
	for i := range g.plans {
		if c := g.plans[i].c; c != nil && c.stepped == s.number {
			c.next, c.stepped = c.before, 0
		}
	}
	clear(g.fresh)
	g.events = 0
	g.loose = nil // its offsets are taken anew
	for i := range g.plans {
		old := &g.plans[i]
		g.plans[i] = s.plan(old.event, false)
	}
}

// index puts the group's events into the index, makes visible what may be, and lists
// what is handed out now. The rest waits for the sync of number. flight is held.
func (s *shard) index(number uint64) (waits bool) {
	g := &s.g
	cost := int64(0)
	for i := range g.plans {
		p := &g.plans[i]
		c := p.c
		if c == nil {
			g.now = append(g.now, i)
			continue
		}
		if p.fate == fateDuplicate && p.event.asksDurable() {
			// What the former event's publisher was not promised, this one is.
			p.durable = !s.log.syncs.cover(number)
		}
		wait := p.durable || c.waiting > 0
		if wait && p.fate != fateRefused {
			needs := number
			if !p.durable {
				needs = c.awaits
			}
			c.awaits = needs
			s.await(p, needs)
			waits = true
		} else {
			g.now = append(g.now, i)
		}
		cost += s.place(p, !wait)
		if p.id != "" && p.fate != fateDuplicate && p.fate != fateRefused {
			s.log.keys.put(p.id, p.timeMS, s.formerOf(p).encode())
		}
	}
	if cost > 0 {
		s.log.unsaved.Add(cost)
		if s.log.unsavedEvents.Add(int64(g.events)) >= int64(s.log.cfg.CheckpointEvents) {
			s.log.wantCheckpoint()
		}
	}
	return waits
}

// place enters one event into its channel. flight is held.
func (s *shard) place(p *plan, visible bool) (cost int64) {
	c := p.c
	if p.fate == fateUnlogged {
		s.lose(c)
	}
	last := s.lastOf(p)
	if p.fate != fateLogged && last == nil {
		return 0
	}
	c.touched.Store(s.g.nowMS)
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.fate == fateLogged {
		e := entry{
			payload: s.g.payload(p), origin: p.event.Origin, era: p.state.era, total: p.state.total,
			timeMS: p.state.timeMS, class: segment.ClassOf(p.event.Rule.Age), durable: p.state.durable,
		}
		c.addLocked(p.state.seq, e)
		cost = e.cost()
		s.list(c)
	}
	if visible {
		c.showLocked(p.fate == fateLogged, p.state, last)
		if last != nil {
			s.list(c)
		}
	}
	return cost
}

// showLocked makes an event visible. mu is held.
func (c *channel) showLocked(logged bool, state headState, last *lastEvent) {
	if logged {
		c.seen = state
	}
	if last != nil {
		c.last = last
		c.changes++
	}
}

// lastOf is the event as its channel's last one; nil when it is not to be kept. It
// copies the payload: kept for long, it must not hold its group.
func (s *shard) lastOf(p *plan) *lastEvent {
	if p.event.Cache <= 0 || p.fate == fateDuplicate || p.fate == fateRefused {
		return nil
	}
	return &lastEvent{
		expires: p.timeMS + p.event.Cache.Milliseconds(),
		event: Event{
			Seq: p.state.seq, TimeMS: p.timeMS, Origin: []byte(p.event.Origin),
			Payload: append([]byte(nil), s.g.payload(p)...),
		},
	}
}

// payload is what the event's item appended.
func (g *group) payload(p *plan) []byte {
	if p.inGroup {
		return g.buf[p.from:p.to:p.to]
	}
	if p.fate == fateDuplicate || p.fate == fateRefused {
		return nil
	}
	return g.loose[p.from:p.to:p.to]
}

// result is what Done is told of an event that need not wait, or whose wait is over.
func (s *shard) result(p *plan) Result {
	switch p.fate {
	case fateRefused:
		return Result{Err: ErrDurableUnavailable}
	case fateDuplicate:
		return Result{Duplicate: true, Epoch: p.former.epoch, Start: p.former.start, Seq: p.former.seq, Logged: p.former.seq > 0}
	case fateLogged:
		return Result{
			Epoch: p.state.era.epoch, Start: p.state.era.start, Seq: p.state.seq,
			Payload: s.g.payload(p), Logged: true,
		}
	case fateUnlogged:
		era := p.c.next.era
		return Result{Epoch: era.epoch, Start: era.start, Payload: s.g.payload(p)}
	default:
		return Result{Payload: s.g.payload(p)}
	}
}

func (s *shard) handOut(p *plan) {
	if p.event.asksDurable() {
		s.log.durable.Add(-1)
	}
	p.event.Item.Done(s.result(p))
}

// asksDurable tells whether the event counts among those that await their sync.
func (a *Append) asksDurable() bool { return a.Durable || a.Rule.Durable }

func (a *Append) size() int {
	if a.Bytes > 0 {
		return a.Bytes
	}
	return 512
}
