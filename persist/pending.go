package persist

// waiter is an event whose Done waits for a sync: a durable one, or one of the same
// channel that came later.
type waiter struct {
	c       *channel
	item    Item
	needs   uint64 // number of the journal group that must be on disk
	fate    fate
	asks    bool // counts in log.durable
	fails   bool // not handed out if the sync fails: durable, or a duplicate of such a one
	state   headState
	last    *lastEvent
	result  Result
	id      string
	timeMS  int64
	visible bool // fateLogged: makes state visible
}

// await puts an event behind those that wait. flight is held.
func (s *shard) await(p *plan, needs uint64) {
	p.c.waiting++
	s.pending = append(s.pending, waiter{
		c: p.c, item: p.event.Item, needs: needs, fate: p.fate, asks: p.event.asksDurable(),
		fails: p.durable || p.fate == fateDuplicate, state: p.state, last: s.lastOf(p),
		result: s.result(p), id: p.id, timeMS: p.timeMS, visible: p.fate == fateLogged,
	})
}

// settle hands out what waited for a sync that has come, or has failed.
func (s *shard) settle() {
	s.owner.Check()
	synced, failed, failures := s.log.syncs.state()
	if synced == s.synced && failures == s.failures {
		return
	}
	fresh := failures != s.failures
	s.synced, s.failures = synced, failures
	if len(s.pending) == 0 {
		return
	}
	s.flight.Lock()
	done := s.over[:0]
	rest := s.pending[:0]
	for i := range s.pending {
		w := s.pending[i]
		switch {
		case w.needs <= synced:
			s.reveal(&w)
			done = append(done, w)
		case fresh && w.needs <= failed:
			s.withdraw(&w)
			done = append(done, w)
		default:
			rest = append(rest, w)
		}
	}
	clear(s.pending[len(rest):])
	s.pending = rest
	s.flight.Unlock()
	for i := range done {
		w := &done[i]
		if w.asks {
			s.log.durable.Add(-1)
		}
		w.item.Done(w.result)
	}
	clear(done)
	s.over = done
}

// reveal makes visible what a waiter stands for. flight is held.
func (s *shard) reveal(w *waiter) {
	w.c.waiting--
	w.c.mu.Lock()
	w.c.showLocked(w.visible, w.state, w.last)
	w.c.mu.Unlock()
	if w.last != nil {
		s.list(w.c)
	}
}

// withdraw is for a waiter whose sync failed: nobody will ever see what was logged.
// Who asked for durability is told; who did not is handed out without a seq. flight
// is held.
func (s *shard) withdraw(w *waiter) {
	c := w.c
	c.waiting--
	if w.fate == fateLogged {
		seq := w.state.seq
		if c.gone != seq-1 || c.kept == c.gone {
			c.kept = seq - 1
		}
		c.gone = seq
		c.mu.Lock()
		cost := c.withdrawLocked(seq-1, seq)
		c.mu.Unlock()
		s.log.unsaved.Add(-cost)
		s.lose(c) // its seq is missing in what others will see
	}
	if w.fails {
		if w.id != "" && w.fate != fateDuplicate {
			s.log.keys.remove(w.id)
		}
		w.result = Result{Err: ErrDurableUnavailable}
		return
	}
	if w.fate == fateLogged {
		era := c.next.era
		w.result = Result{Epoch: era.epoch, Start: era.start, Payload: w.item.AppendPayload(nil, era.epoch, 0)}
		if w.id != "" {
			s.log.keys.put(w.id, w.timeMS, former{epoch: era.epoch, start: era.start}.encode())
		}
		if w.last != nil {
			last := *w.last
			last.event.Seq, last.event.Payload = 0, w.result.Payload
			w.last = &last
		}
	}
	c.mu.Lock()
	c.showLocked(false, w.state, w.last)
	c.mu.Unlock()
	if w.last != nil {
		s.list(c)
	}
}
