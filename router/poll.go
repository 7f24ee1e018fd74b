package router

import (
	"errors"
	"strconv"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// pollEvents is how many events of a channel one answer holds at most.
const pollEvents = 1000

// beginPoll answers a poll at once if memory can tell that there is something to
// say or that there is nothing and it does not wait; else it waits, or has the log
// asked.
func (s *Shard) beginPoll(slot uint32, x *session, st *stream) {
	news, known := s.pollNews(st)
	switch {
	case !known || news:
		s.wakePoll(slot, x, st)
	case st.wait == 0:
		s.answerSame(slot, st)
	default:
		s.enterPoll(slot, x, st)
	}
}

// pollNews tells whether a poll has anything to be told now, if memory can tell.
func (s *Shard) pollNews(st *stream) (news, known bool) {
	for i := range st.channels {
		c := &st.channels[i]
		if c.req.rule.Events == 0 {
			news = news || c.req.replay != pusher.ReplayNone // a position where there can be none
			continue
		}
		at, resident := s.stand(&c.req)
		if !resident {
			return false, false
		}
		if c.req.replay == pusher.ReplayNone || c.req.reason != "" || at.Broken || at.Epoch != c.req.epoch || at.Seq != c.req.from {
			news = true
			continue
		}
		c.at = at
	}
	// Who does not say where it stands asks where the channels do, and is told at once.
	return news || !st.since, true
}

// enterPoll makes the poll a member of its channels. What it has said of its
// position is compared again at each join marker.
func (s *Shard) enterPoll(slot uint32, x *session, st *stream) {
	for i := range st.channels {
		c := &st.channels[i]
		req := c.req
		req.replay, req.asked = pusher.ReplayNone, true
		if no := s.join(slot, x, &req); no != nil {
			s.leaveStream(slot, x)
			s.answerRefusal(slot, st, &doorRefusal{status: no.status, code: codeRefusedChannel, text: no.text, channel: req.name})
			return
		}
		c.id = x.first
	}
}

// pollJoined compares the channel's position with the client's.
func (s *Shard) pollJoined(slot uint32, st *stream, c *streamChannel, w *welcome) {
	if c.req.rule.Events > 0 && (w.at.Broken || w.at.Epoch != c.req.epoch || w.at.Seq != c.req.from) {
		s.wakePoll(slot, s.sessions.at(slot), st)
	}
}

// toPoll wakes a poll with the batch of a walk.
func (s *Shard) toPoll(q *queue, slot uint32, x *session, st *stream, c *streamChannel) {
	w := &q.walk
	news := false
	for i, d := range w.events {
		if w.excluded(slot, i) || (st.own != "" && d.origin == st.own) {
			news = news || d.seq != 0 // its position has moved
			continue
		}
		news = true
		if d.seq == 0 && d.position.Epoch == "" { // what only moves the position is said by next
			text, _ := frame.ServerPayload(d.prepared.Plain)
			c.extras = append(c.extras, text)
		}
	}
	if news {
		s.waking = append(s.waking, s.ref(slot, x)) // not in the middle of a walk of its channel
	}
}

// wakePolls has the answers made of the polls that walks have come to.
func (s *Shard) wakePolls() {
	for i, ref := range s.waking {
		if s.sessions.is(ref) {
			s.wakePoll(ref.slot, s.sessions.at(ref.slot), s.streams[ref.slot])
		}
		s.waking[i] = connRef{}
	}
	s.waking = s.waking[:0]
}

// wakePoll has the answer made, off the loop, and sent.
func (s *Shard) wakePoll(slot uint32, x *session, st *stream) {
	if st.waking || x.flags&flagEnding != 0 {
		return
	}
	st.waking = true
	s.leaveStream(slot, x)
	ref := s.ref(slot, x)
	s.r.jobs.run(func() {
		a := &pollAnswer{ref: ref}
		a.make(s.r, st)
		s.r.loops.MustPost(int(ref.loop), opPolled, 0, a)
	})
}

// pollAnswer is an answer on its way to its loop.
type pollAnswer struct {
	ref  connRef
	body []byte
	next []byte // the ETag
	same bool   // nothing is new
	away bool   // the broker of the cluster cannot tell where a channel stands
}

// make reads what a poll is to be told. It may read the disk. The stream is not
// touched by its loop meanwhile.
func (a *pollAnswer) make(r *Router, st *stream) {
	var rows []byte
	a.same = st.since
	for i := range st.channels {
		c := &st.channels[i]
		if i > 0 {
			rows = append(rows, ',')
			a.next = append(a.next, ',')
		}
		rows = a.channel(rows, r, st, c)
	}
	a.body = append(a.body, `{"next":"`...)
	a.body = append(a.body, a.next...)
	a.body = append(a.body, `","channels":[`...)
	a.body = append(a.body, rows...)
	a.body = append(a.body, `]}`...)
}

// channel appends one channel's part.
func (a *pollAnswer) channel(rows []byte, r *Router, st *stream, c *streamChannel) []byte {
	req := &c.req
	rows = append(rows, `{"channel":`...)
	rows = pusher.AppendString(rows, req.name)
	var events []byte
	count := 0
	add := func(text []byte) {
		if count > 0 {
			events = append(events, ',')
		}
		events = append(events, text...)
		count++
	}
	at, reason, more := Position{}, req.reason, false
	if req.rule.Events == 0 {
		a.next = append(a.next, '-')
		if req.replay != pusher.ReplayNone && reason == "" {
			reason = ReasonOff
		}
	} else {
		at, reason, more = a.replay(r, st, req, add)
		a.away = a.away || r.broker != nil && reason == ReasonUnavailable && at.Epoch == ""
		if at.Epoch == "" || at.Broken {
			a.next = append(a.next, '-')
		} else {
			a.next = pusher.AppendPositionText(a.next, at.Epoch, at.Seq)
		}
	}
	for _, text := range c.extras {
		add(text)
	}
	if req.replay != pusher.ReplayNone {
		rows = append(rows, `,"recovered":`...)
		rows = strconv.AppendBool(rows, reason == "")
		if reason != "" {
			rows = append(rows, `,"reason":"`...)
			rows = append(rows, reason...)
			rows = append(rows, '"')
		}
	}
	if req.replay == pusher.ReplayNone || reason == "" {
		rows = append(rows, `,"replayed":`...)
		rows = strconv.AppendInt(rows, int64(count), 10)
		rows = append(rows, `,"more":`...)
		rows = strconv.AppendBool(rows, more)
	}
	a.same = a.same && count == 0 && reason == "" && (req.rule.Events == 0 || (at.Epoch == req.epoch && at.Seq == req.from))
	rows = append(rows, `,"events":[`...)
	rows = append(rows, events...)
	return append(rows, `]}`...)
}

// replay reads the events after a client's position. at is where it then stands.
func (a *pollAnswer) replay(r *Router, st *stream, req *request, add func([]byte)) (at Position, reason string, more bool) {
	key := logKey(req.app, req.name)
	head, err := r.log.Load(key)
	switch {
	case err != nil:
		return Position{}, ReasonUnavailable, false
	case req.replay == pusher.ReplayNone || req.reason != "":
		return head, req.reason, false
	}
	if head, reason = r.log.Recover(key, req.rule, req.epoch, req.from, int(pusher.MaxSeq)); reason != "" {
		return head, reason, false
	}
	to := min(head.Seq, req.from+pollEvents)
	for seq := req.from + 1; seq <= to; {
		block, err := r.log.Block(key, seq)
		if errors.Is(err, ErrBrokerUnavailable) {
			return Position{}, ReasonUnavailable, false
		}
		if err != nil {
			return head, ReasonUnavailable, false
		}
		_, last := block.Span()
		for last = min(last, to); seq <= last; seq++ {
			if st.own != "" && block.Origin(seq) == st.own {
				continue
			}
			text, _ := frame.ServerPayload(block.Frames(seq, seq))
			add(text)
		}
	}
	more = to < head.Seq
	head.Seq = to
	return head, "", more
}

// polled sends an answer.
func (s *Shard) polled(a *pollAnswer) {
	if !s.sessions.is(a.ref) || s.sessions.at(a.ref.slot).flags&flagEnding != 0 {
		return
	}
	slot := a.ref.slot
	if a.away {
		// With any other answer the client would lose its position and come again at once.
		s.answerRefusal(slot, s.streams[slot], &doorRefusal{
			status: 503, code: "broker_unavailable", retryAfter: 1,
			text: "the broker of the cluster is away: ask again in a second, from the same position",
		})
		return
	}
	s.answerPoll(slot, s.streams[slot], a)
}

// answerPoll sends what was found: 304 when that is nothing and the client has the
// same already.
func (s *Shard) answerPoll(slot uint32, st *stream, a *pollAnswer) {
	x := s.sessions.at(slot)
	x.flags |= flagEnding
	status := 200
	if a.same && st.etag == string(a.next) {
		status = 304
	}
	out := appendStatus(nil, status)
	out = appendOrigin(out, st.origin)
	out = append(out, `ETag: "`...)
	out = append(out, a.next...)
	out = append(out, "\"\r\n"...)
	if status == 304 {
		if !st.keep {
			out = append(out, "Connection: close\r\n"...)
		}
		out = append(out, "\r\n"...)
	} else {
		out = appendBody(out, st.keep, a.body)
	}
	s.sendRaw(slot, x, out)
	s.conns.Finish(slot, st.keep)
}

// answerSame answers from memory a poll for which there is nothing new.
func (s *Shard) answerSame(slot uint32, st *stream) {
	a := &pollAnswer{same: true}
	a.next = st.appendPositions(nil)
	if st.etag != string(a.next) {
		a.body = append(a.body, `{"next":"`...)
		a.body = append(a.body, a.next...)
		a.body = append(a.body, `","channels":[`...)
		for i := range st.channels {
			if i > 0 {
				a.body = append(a.body, ',')
			}
			a.body = append(a.body, `{"channel":`...)
			a.body = pusher.AppendString(a.body, st.channels[i].req.name)
			if st.channels[i].req.replay != pusher.ReplayNone {
				a.body = append(a.body, `,"recovered":true`...)
			}
			a.body = append(a.body, `,"replayed":0,"more":false,"events":[]}`...)
		}
		a.body = append(a.body, `]}`...)
	}
	s.answerPoll(slot, st, a)
}
