package router

import (
	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// streamWelcome is welcome for a stream.
func (s *Shard) streamWelcome(slot, id uint32, w *welcome) {
	st := s.streams[slot]
	c := st.channelOf(id)
	if c == nil {
		return
	}
	st.open++
	if st.poll {
		s.pollJoined(slot, st, c, w)
		return
	}
	data := "{}"
	if w.snap != nil {
		data = w.snap.text()
	}
	c.at = Position{Epoch: w.more.Epoch, Seq: w.more.Seq}
	s.text = pusher.AppendSucceeded(s.text[:0], w.ch.name, data, w.more)
	s.sendEvent(slot, st, s.text)
	if w.more.Replayed > 0 {
		s.pullLater(s.fallBack(slot, id, w.local, w.more.Seq+1, st.own))
	} else if w.ch.kind&pusher.Cache != 0 && w.more.Replay != pusher.ReplayRecovered {
		if w.cached == nil {
			w.cached = pusher.AppendCacheMiss(nil, w.ch.name)
		}
		s.sendEvent(slot, st, w.cached)
	}
	if st.opened() {
		s.pullOn(slot) // replays have waited: every success comes before the first event
	}
}

// sendEvent writes one message to an event stream, with the positions of all
// channels once they are known. Before that an id would tell a client that comes
// back less than it knows.
func (s *Shard) sendEvent(slot uint32, st *stream, text []byte) {
	s.out = s.appendEvent(s.out[:0], st, text)
	s.conns.Send(slot, s.out)
	s.countReply(s.sessions.at(slot), len(text))
	if cap(s.out) > keptScratch {
		s.out = nil
	}
}

func (s *Shard) appendEvent(dst []byte, st *stream, text []byte) []byte {
	if st.opened() {
		dst = append(dst, "id: "...)
		dst = st.appendPositions(dst)
		dst = append(dst, '\n')
	}
	return frame.AppendEventStream(dst, text)
}

// toStream hands the batch of a walk to a stream.
func (s *Shard) toStream(q *queue, slot uint32, x *session) {
	w, st := &q.walk, s.streams[slot]
	id, _ := s.find(x, q.local)
	c := st.channelOf(id)
	if c == nil {
		return
	}
	if st.poll {
		s.toPoll(q, slot, x, st, c)
		return
	}
	late := s.cursors[id]
	if late == nil && w.first != 0 && (!st.opened() || !s.conns.Empty(slot)) {
		late = s.fallBack(slot, id, q.local, w.first, st.own)
		s.pullLater(late)
	}
	if late != nil && w.breaks {
		s.closeWith(slot, x, frame.Slow)
		return
	}
	var out []byte
	n := 0
	name := s.channels.at(q.local).name
	for i, d := range w.events {
		if late != nil && d.seq != 0 {
			continue
		}
		skipped := w.excluded(slot, i) || (st.own != "" && d.origin == st.own)
		if d.position.Epoch != "" {
			c.at = d.position
		}
		switch {
		case !skipped:
			text, _ := frame.ServerPayload(d.prepared.Plain)
			out = s.appendEvent(out, st, text)
		case d.seq != 0:
			out = s.appendEvent(out, st, pusher.AppendPosition(nil, name, d.position.Epoch, d.seq, ""))
		default:
			continue
		}
		n++
	}
	if n > 0 {
		s.conns.Push(slot, &frame.Batch{Plain: out, Messages: n})
	}
}

// pullToStream encodes what a cursor of an event stream has pulled.
func (s *Shard) pullToStream(c *cursor, st *stream, frames []byte, from uint64) []byte {
	var out []byte
	epoch := s.epochOf(c.ch)
	sc := st.channelOf(c.id)
	for seq := from; len(frames) > 0; seq++ {
		var text []byte
		text, frames = frame.ServerPayload(frames)
		sc.at = Position{Epoch: epoch, Seq: seq}
		out = s.appendEvent(out, st, text)
	}
	return out
}

// pingStream keeps a silent event stream alive, or ends a poll that has waited
// long enough.
func (s *Shard) pingStream(slot uint32, x *session) {
	st := s.streams[slot]
	if st.poll {
		s.wakePoll(slot, x, st)
		return
	}
	s.sendRaw(slot, x, streamSilence)
}

// streamSilence is a comment: clients drop it, and middle boxes see traffic.
var streamSilence = []byte(":\n\n")

// closeStream ends a stream for a reason of ours.
func (s *Shard) closeStream(slot uint32, x *session, r frame.CloseReason) {
	st := s.streams[slot]
	if st.poll {
		s.answerRefusal(slot, st, refusalOf(r))
		return
	}
	x.flags |= flagEnding
	s.text = pusher.AppendError(s.text[:0], int(r.Code), r.Text)
	s.out = frame.AppendEventStream(s.out[:0], s.text)
	s.conns.Send(slot, s.out)
	s.conns.Close(slot, r)
}
