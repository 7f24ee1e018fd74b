package router

import (
	"bytes"
	"math/rand/v2"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// stream is a client that speaks plain HTTP: an event stream, or a poll that waits.
// It has a session and memberships like any connection, and is told the same events
// in another encoding. Owned by its loop; made when the request comes and forgotten
// when it ends.
//
// Its connection is under Hold from the beginning, so each walk hands it to
// Shard.refused, where it is written to.
type stream struct {
	poll     bool
	since    bool   // the client said where it stands
	keep     bool   // poll: the client may send another request on the connection
	own      string // the session id; "" = none was needed
	origin   string // to be allowed in the answer; "" = the request named none
	channels []streamChannel
	open     int // channels whose join marker has come

	// Polls only.
	wait   int    // seconds
	etag   string // If-None-Match, without quotes
	waking bool   // its answer is being made
}

// streamChannel is one subscription of a stream.
type streamChannel struct {
	req request
	id  uint32 // membership; 0 = none
	// at is what the client has been told of: the position of the last event it got.
	at     Position
	extras [][]byte // poll: messages without a number that came while it waited
}

// streamComment is the silence after which an event stream is sent a comment, in
// seconds.
const streamComment = 25

// IsStream tells whether a path, without path_prefix, is one that OpenStream serves.
func IsStream(path []byte) bool {
	_, _, ok := streamPath(path)
	return ok
}

// streamPath takes /app/{key}/sse and /app/{key}/poll apart.
func streamPath(path []byte) (key []byte, poll, ok bool) {
	rest, ok := bytes.CutPrefix(path, []byte("/app/"))
	if !ok {
		return nil, false, false
	}
	key, door, ok := bytes.Cut(rest, []byte("/"))
	if !ok || len(key) == 0 {
		return nil, false, false
	}
	return key, string(door) == "poll", string(door) == "poll" || string(door) == "sse"
}

// OpenStream serves a request for an event stream or a poll.
func (s *Shard) OpenStream(now int64, up *frame.StreamRequest) (period int, events bool) {
	s.enter()
	s.now = now
	x := s.sessions.at(up.Slot)
	invariant.Check(x.gen == 0, "a slot was opened twice")
	*x = session{gen: up.Gen, flags: flagStream}
	s.sessions.add(up.Slot, x)

	st, app, no := s.readStream(up)
	s.streams[up.Slot] = st
	if no != nil {
		s.answerRefusal(up.Slot, st, no)
		return 0, false
	}
	x.app = uint16(app.index)
	x.flags |= flagServed
	if st.poll {
		s.beginPoll(up.Slot, x, st)
		return st.wait, false
	}
	s.resolve(up.Slot, x, st)
	return streamComment, true
}

// streamRetry is when a client that loses its stream may come back, in milliseconds:
// each is told another time, since clients have no spread of their own.
func streamRetry() int { return 1000 + rand.IntN(4001) }

// resolve has the log asked for what memory cannot tell of the channels, and enters.
func (s *Shard) resolve(slot uint32, x *session, st *stream) {
	var ask []*request
	for i := range st.channels {
		if req := &st.channels[i].req; s.waits(req) {
			ask = append(ask, req)
		}
	}
	if len(ask) == 0 {
		s.enterStream(slot, x, st)
		return
	}
	x.flags |= flagLooking
	ref, max := s.ref(slot, x), s.r.limits().RecoverEvents
	s.r.jobs.run(func() {
		for _, req := range ask {
			req.ask(s.r, max)
		}
		s.r.loops.MustPost(int(ref.loop), opResolved, ref.pack(), ask)
	})
}

// resolved goes on with a stream whose channels the log knows now.
func (s *Shard) resolved(ref connRef, asked []*request) {
	if !s.sessions.is(ref) {
		s.settleAll(asked)
		return
	}
	x := s.sessions.at(ref.slot)
	x.flags &^= flagLooking
	if x.flags&flagEnding != 0 {
		s.settleAll(asked)
		return
	}
	s.resolve(ref.slot, x, s.streams[ref.slot])
}

func (s *Shard) settleAll(asked []*request) {
	for _, req := range asked {
		s.settle(req)
	}
}

// enterStream joins all channels, or none.
func (s *Shard) enterStream(slot uint32, x *session, st *stream) {
	for i := range st.channels {
		c := &st.channels[i]
		if no := s.joinStream(slot, x, &c.req); no != nil {
			s.leaveStream(slot, x)
			for i := range st.channels {
				s.settle(&st.channels[i].req)
			}
			s.answerRefusal(slot, st, no)
			return
		}
		c.id = x.first
		s.stats.subscribes[typeOf(c.req.kind)][resultOK].Add(1)
	}
	if !st.poll {
		s.sendRaw(slot, x, appendStreamHeader(nil, st.origin, streamRetry()))
	}
}

// joinStream joins one channel.
func (s *Shard) joinStream(slot uint32, x *session, req *request) *doorRefusal {
	if req.closes {
		return refusalOf(frame.OverCapacity.With(brokerAway))
	}
	no := req.full(s.r.limits())
	if no == nil {
		no = s.join(slot, x, req)
	}
	if no == nil {
		return nil
	}
	s.stats.subscribes[typeOf(req.kind)][no.result].Add(1)
	return &doorRefusal{status: no.status, code: codeRefusedChannel, text: no.text, channel: req.name}
}

// leaveStream ends all memberships of a stream.
func (s *Shard) leaveStream(slot uint32, x *session) {
	for x.first != 0 {
		s.leave(slot, x, x.first, 0)
	}
	if st := s.streams[slot]; st != nil {
		for i := range st.channels {
			st.channels[i].id = 0
		}
	}
}

// sendRaw writes bytes that are no message.
func (s *Shard) sendRaw(slot uint32, x *session, p []byte) {
	s.conns.Send(slot, p)
	s.countReply(x, len(p))
}

// channelOf finds a stream's channel by its membership.
func (st *stream) channelOf(id uint32) *streamChannel {
	for i := range st.channels {
		if st.channels[i].id == id {
			return &st.channels[i]
		}
	}
	return nil
}

// opened tells whether every join marker has come.
func (st *stream) opened() bool { return st.open == len(st.channels) }

// appendPositions appends the positions of all channels in their text form.
func (st *stream) appendPositions(dst []byte) []byte {
	for i := range st.channels {
		if i > 0 {
			dst = append(dst, ',')
		}
		if at := &st.channels[i].at; at.Epoch == "" {
			dst = append(dst, '-')
		} else {
			dst = pusher.AppendPositionText(dst, at.Epoch, at.Seq)
		}
	}
	return dst
}
