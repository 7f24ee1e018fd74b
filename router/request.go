package router

import (
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// request is a subscribe that was examined and found good. It may have to wait for
// the log before it can join.
type request struct {
	app    *App
	kind   pusher.Kind
	name   string
	member pusher.Member // presence channels
	rule   Rule

	replay pusher.Replay // what is asked for: none, recovered or rewound
	rewind pusher.Rewind
	epoch  string // of from; a rewind gets it from the log
	from   uint64 // the replay begins behind it
	former string // recover: the subscriber's former socket id
	reason string // why nothing is replayed; "" = nothing speaks against it yet

	joined  bool // in a cluster: the connection is a member of the presence channel already
	entered bool // the broker was told of the member, and no membership has that yet
	crowded bool // the broker has no room for the member
	closes  bool // the member cannot be told to the others: it has to come again

	asked  bool // the log was asked
	failed bool // and it could not answer
}

// readReplay takes over what a subscribe says about missed events.
func (s *Shard) readReplay(req *request, sub *pusher.Subscribe) *refusal {
	switch {
	case s.r.log == nil && sub.Recover == nil:
		return nil // an addition that this server does not have
	case sub.Recover != nil:
		req.replay = pusher.ReplayRecovered
		var rec pusher.Recover
		if s.decoder.Recover(sub.Recover, &rec) != nil {
			req.reason = ReasonMalformed
			return nil
		}
		req.epoch, req.from, req.former = string(rec.Epoch), rec.Seq, string(rec.SocketID)
	case sub.Rewind != nil:
		var err error
		if req.rewind, err = pusher.ParseRewind(sub.Rewind); err != nil {
			return badRequest("rewind must be a number of events from 1 to 1000, or an age like 30s, 5m or 1h")
		}
		req.replay = pusher.ReplayRewound
	default:
		return nil
	}
	if req.rule.Events == 0 || !req.rule.Replay {
		req.reason = ReasonOff
	}
	return nil
}

// needsHead tells whether the channel's place in the log matters to a subscriber. In a
// cluster it always does: where the broker knows a channel, it hands its events to this
// node.
func (s *Shard) needsHead(req *request) bool {
	return s.r.broker != nil || req.rule.Events > 0 || (s.r.log != nil && req.kind&pusher.Cache != 0)
}

// waits tells whether the log must be asked, off the loop, before the request can
// join. What memory can tell is decided here.
func (s *Shard) waits(req *request) bool {
	if !s.needsHead(req) {
		return false
	}
	if req.crowded || req.closes {
		return false // the answer is known, wherever the channel stands
	}
	if s.enters(req) {
		return true
	}
	at, known := s.stand(req)
	if !known {
		return !req.failed
	}
	if req.replay == pusher.ReplayNone || req.reason != "" || req.asked {
		return false
	}
	if req.replay == pusher.ReplayRewound {
		if at.Seq == at.Start && at.Seq == 0 {
			req.epoch, req.from = at.Epoch, 0
			return false
		}
		return true
	}
	reason := refuses(at, req.epoch, req.from)
	if s.r.broker != nil && (reason == ReasonAhead || reason == ReasonEpoch) {
		return true // the client may know more than has come to this node
	}
	req.reason = reason
	return reason == "" && req.from != at.Seq
}

// ask has the log decide what memory could not tell. It may read the disk.
func (req *request) ask(r *Router, max int) {
	key, log := logKey(req.app, req.name), r.log
	if r.broker != nil && req.kind&pusher.Presence != 0 && !req.entered {
		req.enter(r, key)
		if req.crowded || req.closes {
			return
		}
	}
	req.asked = true
	switch {
	case req.reason != "" || req.replay == pusher.ReplayNone:
	case req.replay == pusher.ReplayRewound:
		var at Position
		at, req.from = log.Rewind(key, req.rule, req.rewind.Events, req.rewind.Age)
		if req.epoch = at.Epoch; at.Broken && at.Epoch == "" {
			req.reason = ReasonUnavailable
		}
	default:
		_, req.reason = log.Recover(key, req.rule, req.epoch, req.from, max)
	}
	// What was asked above has no error: that a head cannot be read is found here, or the
	// request would be asked for ever.
	if _, err := log.Load(key); err != nil {
		req.failed = true
		if req.reason == "" {
			req.reason = ReasonUnavailable
		}
	}
}

// refuses is the reason for which nothing can be recovered after a position, as far
// as the channel's head tells.
func refuses(at Position, epoch string, from uint64) string {
	switch {
	case at.Broken:
		return ReasonUnavailable
	case at.Epoch != epoch || from < at.Start:
		return ReasonEpoch
	case from > at.Seq:
		return ReasonAhead
	default:
		return ""
	}
}

// stand is where the request's channel stands, if memory can tell.
func (s *Shard) stand(req *request) (at Position, known bool) {
	dir := req.app.dir.shard(req.name)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	return s.standLocked(dir, req)
}

// standLocked is stand for a caller that holds the directory lock. An occupied
// channel stands where its last posted event left it, whatever the log already has.
func (s *Shard) standLocked(dir *dirShard, req *request) (at Position, known bool) {
	key := logKey(req.app, req.name)
	if req.kind&pusher.Cache != 0 && dir.cache.getLocked(s.now, req.name) == nil {
		if _, resident := s.r.log.Head(key); !resident {
			return Position{}, false // the last event may be on the disk
		}
	}
	ch := dir.channels[req.name]
	if req.rule.Events == 0 {
		if s.r.broker != nil && ch == nil {
			_, known = s.r.log.Head(key)
			return Position{}, known
		}
		return Position{}, true
	}
	if ch != nil && (ch.at.Epoch != "" || ch.at.Broken) {
		return ch.at, true
	}
	return s.r.log.Head(key)
}

// success is what the subscriber is told about positions when it joins at a channel
// that stands at at.
func (req *request) success(at Position) pusher.Success {
	if req.rule.Events == 0 {
		at = Position{}
	}
	more := pusher.Success{}
	if !at.Broken {
		more.Epoch, more.Seq = at.Epoch, at.Seq
	}
	if req.replay == pusher.ReplayNone {
		return more
	}
	reason := req.reason
	if reason == "" {
		reason = refuses(at, req.epoch, req.from)
	}
	if reason != "" {
		more.Replay, more.Reason = pusher.ReplayRefused, reason
		return more
	}
	return pusher.Success{Epoch: at.Epoch, Seq: req.from, Replay: req.replay, Replayed: at.Seq - req.from}
}
