package persist

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// restorer brings the log back to where the former process left it. It runs before
// anybody else knows the log.
type restorer struct {
	log     *Log
	reindex bool // segments were lost: what the journal still has goes there again
	groups  int
	highest uint32            // life that a record of the journal has
	broken  error             // a group that passed its checksum and yet makes no sense
	holed   map[*channel]bool // lost events: whatever its life, its epoch ends
}

// restore opens the files and replays the journal. stoodBy: events were handed out
// unlogged while they could not be opened.
func (l *Log) restore(stoodBy bool) error {
	behind, markErr := l.mark.open(l.cfg.FS, l.cfg.Dir)
	m, fresh, err := readMeta(l.cfg.FS, l.cfg.Dir)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("persist: read meta: %w", err)
	}
	lost := err != nil
	if lost {
		l.warn("the log does not know itself any more: all channels have new epochs", "err", err)
	}
	sameBoot := m.clean || m.boot != "" && m.boot == l.cfg.BootID

	// The store is opened first: its lock keeps other processes out of all of it.
	damage, err := l.openStore()
	if err != nil {
		return err
	}
	if _, _, err := l.store.Head("\x01"); err != nil {
		return fmt.Errorf("persist: heads: %w", err) // without them no channel's place is known
	}
	headsLost := slices.ContainsFunc(damage, func(d segment.Damage) bool { return d.File == segment.HeadsFile })
	l.stats.damaged.Add(uint64(len(damage)))
	if markErr != nil {
		return markErr
	}
	r := &restorer{log: l, reindex: len(damage) > 0, holed: map[*channel]bool{}}
	var gaps []journal.Damage
	l.journal, gaps, err = journal.Open(journal.Config{
		Dir: filepath.Join(l.cfg.Dir, journalDir), FS: l.cfg.FS, SameBoot: sameBoot, Now: l.cfg.Now,
	}, r.group)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		l.stats.damaged.Add(1)
		l.warn("a part of the journal is damaged and will be set aside", "err", g.Err)
	}
	if r.broken != nil {
		l.warn("a group of the journal makes no sense", "err", r.broken)
	}
	lost = lost || fresh && (r.groups > 0 || l.store.Stats().Heads > 0)
	hard := behind || stoodBy || headsLost || lost || len(gaps) > 0 || r.broken != nil
	m = l.begin(m, lost, max(r.highest, l.store.HighestLife()), fresh || !sameBoot || hard, hard)
	l.meta.Store(&m)
	l.unready.Store(true)
	if hard {
		l.warn("continuity cannot be proved: all channels have new epochs", "behind", behind, "heads", headsLost, "journal", len(gaps))
	}
	r.finish()
	if err := l.ready(); err != nil {
		l.writeFailed("meta", err, l.nowMS())
	}
	return nil
}

// ready writes down how this run stands to the ones before. Until that is done
// nothing may be logged: the next start would take it for continued. A full disk does
// not keep the server from starting.
func (l *Log) ready() error {
	if !l.unready.Load() {
		return nil
	}
	if err := writeMeta(l.cfg.FS, l.cfg.Dir, *l.meta.Load()); err != nil {
		return err
	}
	l.unready.Store(false)
	if l.broken.Load() > 0 {
		return nil // of this run: the checkpointer lowers the mark
	}
	return l.mark.lower(func() bool { return l.broken.Load() == 0 })
}

// begin is the meta of this run. highest is the highest life that anything of the
// log has; ends: epochs cannot go on; hard: not even those of durable channels.
func (l *Log) begin(m meta, lost bool, highest uint32, ends, hard bool) meta {
	if lost {
		// Whatever is there must be of an earlier life. What is there says which lives
		// were counted; the clock stands for those of which nothing is left to see.
		m = meta{life: max(highest, uint32(max(1, l.cfg.Now().Unix())))}
	}
	if ends {
		m.life++
		m.id, m.salt = newEpoch(), newSalt()
		if hard {
			m.hard = m.life
		}
	}
	m.boot, m.clean = l.cfg.BootID, false
	return m
}

// group replays one group of the journal.
func (r *restorer) group(_ uint64, group []byte) error {
	r.groups++
	err := eachRecord(group, r.record)
	if errors.Is(err, ErrDamaged) {
		r.broken = err
		return nil
	}
	return err
}

func (r *restorer) record(rec *record) error {
	l := r.log
	r.highest = max(r.highest, rec.life)
	if rec.kind == kindAnswer {
		l.keys.put(string(rec.id), rec.timeMS, rec.payload)
		return nil
	}
	c, err := r.channel(rec.key)
	if err != nil {
		return err
	}
	if rec.kind == kindTurn {
		r.turn(c, rec)
		return nil
	}
	if len(rec.id) > 0 {
		f := former{}
		if rec.seq > 0 {
			f = former{epoch: string(rec.epoch), start: rec.start, seq: rec.seq}
		}
		l.keys.put(string(rec.id), rec.timeMS, f.encode())
	}
	if rec.flags&flagCached != 0 && (c.last == nil || rec.timeMS >= c.last.event.TimeMS) {
		c.last = &lastEvent{
			expires: rec.timeMS + int64(rec.ttl)*1000,
			event:   Event{Seq: rec.seq, TimeMS: rec.timeMS, Origin: rec.origin, Payload: slices.Clone(rec.payload)},
		}
		c.changes++
		c.shard.list(c)
	}
	if rec.seq > 0 {
		r.event(c, rec)
	}
	return nil
}

// channel is the channel of a record, with the head that the disk has, as it is.
func (r *restorer) channel(key []byte) (*channel, error) {
	s := r.log.shardOf(string(key))
	if c := s.channels[string(key)]; c != nil {
		return c, nil
	}
	h, ok, err := r.log.store.Head(string(key))
	if errors.Is(err, segment.ErrDamaged) {
		ok, err = false, nil // the store has told segmentDamaged
	}
	if err != nil {
		return nil, fmt.Errorf("persist: head of %q: %w", key, err)
	}
	state := headState{}
	if ok {
		state = headState{
			era: &era{epoch: h.Epoch, start: h.Start}, seq: h.Seq, total: h.Total, timeMS: h.TimeMS,
			life: h.Life, durable: h.Durable,
		}
	}
	c := s.newChannel(string(key), state)
	if ok && h.Last != nil {
		if c.last, err = decodeLast(h.Last); err != nil {
			r.log.warn("the last event of a channel is damaged and left out", "key", c.key, "err", err)
		}
	}
	s.insert(c)
	return c, nil
}

// event replays one event.
func (r *restorer) event(c *channel, rec *record) {
	if c.next.era == nil || c.next.era.epoch != string(rec.epoch) || c.next.era.start != rec.start {
		if rec.seq > c.next.seq {
			c.next.era = &era{epoch: string(rec.epoch), start: rec.start}
		}
	}
	e := entry{
		payload: rec.payload, origin: string(rec.origin), era: c.next.era, total: rec.total,
		timeMS: rec.timeMS, class: segment.Class(min(rec.class, segment.Classes-1)), durable: rec.flags&flagDurable != 0,
	}
	if rec.seq <= c.next.seq {
		if r.reindex && (len(c.events) == 0 || rec.seq == c.endLocked()) {
			c.saved = min(c.saved, rec.seq-1)
			r.add(c, rec.seq, e)
		}
		return
	}
	r.bridge(c, rec.seq-1)
	c.next = headState{
		era: e.era, seq: rec.seq, total: rec.total, timeMS: rec.timeMS, life: rec.life, durable: e.durable,
	}
	r.add(c, rec.seq, e)
}

func (r *restorer) add(c *channel, seq uint64, e entry) {
	c.addLocked(seq, e)
	c.shard.list(c)
	r.log.unsaved.Add(e.cost())
	r.log.unsavedEvents.Add(1)
}

// maxBridge is the longest hole that the index steps over. Before a longer one what
// it has is given up.
const maxBridge = 4096

// bridge makes the channel stand at seq although events up to it are missing: those
// that are lost, or those that the disk has and the index, begun anew, has not.
func (r *restorer) bridge(c *channel, seq uint64) {
	if seq > c.next.seq {
		r.holed[c] = true
		c.floor = seq
	}
	if len(c.events) == 0 || c.endLocked() == seq+1 {
		return
	}
	if missing := seq + 1 - c.endLocked(); missing > maxBridge {
		for i := range c.events {
			r.log.unsaved.Add(-c.events[i].cost())
		}
		r.log.unsavedEvents.Add(-int64(len(c.events)))
		c.events = nil
		return
	}
	for c.endLocked() <= seq {
		r.add(c, c.endLocked(), entry{era: c.next.era, withdrawn: true})
	}
}

// turn replays a change of epoch without an event.
func (r *restorer) turn(c *channel, rec *record) {
	if rec.seq < c.next.seq || rec.seq == c.next.seq && rec.life < c.next.life {
		return
	}
	if rec.seq > c.next.seq {
		r.bridge(c, rec.seq)
	}
	c.next.era = &era{epoch: string(rec.epoch), start: rec.start}
	c.next.seq, c.next.life = rec.seq, rec.life
	c.next.timeMS = max(c.next.timeMS, rec.timeMS)
	c.next.durable = rec.flags&flagDurable != 0
	r.log.unsaved.Add(-c.withdrawLocked(rec.total, rec.seq))
	c.changes++
	c.shard.list(c)
}

// finish makes what was replayed visible, under epochs that this life can prove.
func (r *restorer) finish() {
	l := r.log
	for _, s := range l.shards {
		for _, c := range s.channels {
			if c.next.era == nil {
				c.next = l.unborn() // only its last event or an idempotency key is known
			}
			before := c.next.era
			c.next = l.proved(c.key, c.next)
			if r.holed[c] && c.next.era == before {
				c.next.era = &era{epoch: l.meta.Load().derivedEpoch(c.key, before.epoch), start: c.next.seq}
				l.stats.epochs.Add(1)
			}
			if c.next.era != before {
				c.changes++
				s.list(c)
			}
			c.seen = c.next
		}
	}
	l.keeper.rotate = r.groups > 0
	l.stats.replayed.Store(uint64(r.groups))
}
