package router

import (
	"errors"
	"fmt"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router/auth"
)

// refusal is the answer to a subscribe that is not admitted. The connection stays.
type refusal struct {
	result subscribeResult // metric label
	typ    string          // "type" of pusher:subscription_error
	status int
	text   string
}

func unauthorized(text string) *refusal { return &refusal{resultAuth, "AuthError", 401, text} }
func badRequest(text string) *refusal   { return &refusal{resultBadRequest, "BadRequest", 400, text} }
func limitReached(format string, args ...any) *refusal {
	return &refusal{resultLimit, "LimitReached", 403, fmt.Sprintf(format, args...)}
}

// welcome is what a subscriber is told at its join marker beside its success, read
// in the step that put the marker into the inbox.
type welcome struct {
	ch     *channel
	local  uint32    // the loop's record of the channel
	snap   *snapshot // presence channels
	cached []byte    // cache channels: the message; nil = miss
	at     Position  // the last event that was posted before the marker
	more   pusher.Success
	own    string // recovery: the subscriber's former socket id
}

// subscribe handles pusher:subscribe in s.msg.
func (s *Shard) subscribe(slot uint32, x *session) {
	var sub pusher.Subscribe
	if s.decoder.Subscribe(s.msg.Data, &sub) != nil {
		s.sendError(slot, x, codeInvalidMessage, "Invalid message format")
		return
	}
	req := request{app: s.appOf(x), name: string(sub.Channel)}
	req.kind = pusher.KindOf(req.name)
	var no *refusal
	if req.member, no = s.examine(slot, x, req.app, req.kind, req.name, &sub); no == nil {
		req.rule = s.r.rule(req.app, req.name)
		if s.r.broker != nil && req.kind&pusher.Presence != 0 {
			id, _ := s.membershipOf(x, sub.Channel)
			req.joined = id != 0
		}
		no = s.readReplay(&req, &sub)
	}
	if no != nil {
		s.refuse(slot, x, &req, no)
		return
	}
	s.proceed(slot, x, &req)
}

// proceed joins, at once or when the log has been asked.
func (s *Shard) proceed(slot uint32, x *session, req *request) {
	if s.waits(req) {
		s.lookUp(slot, x, req)
		return
	}
	if req.closes {
		s.settle(req)
		s.closeWith(slot, x, frame.OverCapacity.With(brokerAway))
		return
	}
	no := req.full(s.r.limits())
	if no == nil {
		no = s.join(slot, x, req)
	}
	s.settle(req)
	if no != nil {
		s.refuse(slot, x, req, no)
		return
	}
	s.stats.subscribes[typeOf(req.kind)][resultOK].Add(1)
}

// refuse answers a subscribe that is not admitted.
func (s *Shard) refuse(slot uint32, x *session, req *request, no *refusal) {
	s.stats.subscribes[typeOf(req.kind)][no.result].Add(1)
	s.text = pusher.AppendSubscriptionError(s.text[:0], req.name, no.typ, no.text, no.status)
	s.send(slot, x)
}

// examine checks everything about a subscribe that needs no lock: the name, the
// right to subscribe, and who the subscriber says it is on a presence channel.
// A signature is verified every time, also when the connection is subscribed.
func (s *Shard) examine(slot uint32, x *session, app *App, kind pusher.Kind, name string, sub *pusher.Subscribe) (pusher.Member, *refusal) {
	limits := s.r.limits()
	if kind&pusher.ServerToUser != 0 {
		return pusher.Member{}, s.ownUserChannel(slot, x, name)
	}
	if err := pusher.ValidChannel(name, limits.ChannelNameBytes); err != nil {
		return pusher.Member{}, badRequest(err.Error())
	}
	if !kind.NeedsAuth() {
		return pusher.Member{}, nil
	}
	present := kind&pusher.Presence != 0
	if no := s.verify(slot, x, app, sub, present && sub.HasChannelData); no != nil || !present {
		return pusher.Member{}, no
	}
	if !sub.HasChannelData {
		// A signed-in user needs no channel_data: it is who it signed in as.
		if who := s.signedIn(slot, x); who != nil {
			return who.member, nil
		}
		return pusher.Member{}, badRequest("a presence channel needs channel_data, or a signed-in user")
	}
	member, err := pusher.ParseChannelData(sub.ChannelData, limits.UserIDBytes, limits.UserInfoBytes)
	if err != nil {
		return pusher.Member{}, badRequest(err.Error())
	}
	return member, nil
}

// ownUserChannel admits #server-to-user-{id} for the connection's own signed-in
// user; clients send it with an empty auth.
func (s *Shard) ownUserChannel(slot uint32, x *session, name string) *refusal {
	id, ok := pusher.ServerToUserID(name)
	if who := s.signedIn(slot, x); ok && who != nil && who.member.UserID == id {
		return nil
	}
	s.stats.failures.auth[authForeignUser].Add(1)
	return unauthorized("the channel belongs to a user that is not signed in on this connection")
}

func (s *Shard) verify(slot uint32, x *session, app *App, sub *pusher.Subscribe, withData bool) *refusal {
	var id [socketIDBytes]byte
	return s.verifyAs(app, sub, s.socketID(id[:0], slot, x), withData)
}

// verifyAs is verify for any socket id.
func (s *Shard) verifyAs(app *App, sub *pusher.Subscribe, socketID []byte, withData bool) *refusal {
	err := app.Credentials().VerifySubscription(sub.Auth, socketID, sub.Channel, sub.ChannelData, withData)
	switch {
	case err == nil:
		return nil
	case len(sub.Auth) == 0:
		s.stats.failures.auth[authMissing].Add(1)
		return unauthorized("the channel needs a signature: auth is missing")
	case errors.Is(err, auth.ErrKey):
		s.stats.failures.auth[authKey].Add(1)
		return unauthorized("auth names another application key")
	case withData:
		s.stats.failures.auth[authSignature].Add(1)
		return unauthorized("signature does not match socket_id:channel:channel_data")
	default:
		s.stats.failures.auth[authSignature].Add(1)
		return unauthorized("signature does not match socket_id:channel")
	}
}

// join registers a subscription and posts its marker to the own inbox, in one step
// under the directory lock: what is posted before the marker the subscriber does
// not get, what is posted after it the subscriber gets, and what it is told at the
// marker was true in between.
//
// A connection that is subscribed already stays a member once and is answered
// again. Whoever it was on a presence channel, it remains.
func (s *Shard) join(slot uint32, x *session, req *request) *refusal {
	limits, kind, member := s.r.limits(), req.kind, req.member
	dir := req.app.dir.shard(req.name)
	dir.mu.Lock()
	defer dir.mu.Unlock()

	at, known := Position{}, true
	if s.needsHead(req) {
		if at, known = s.standLocked(dir, req); !known {
			at = Position{Broken: true} // it cannot be had: nothing is said about it
		}
	}
	ch := dir.channels[req.name]
	var here *loopMembers
	if ch != nil {
		here = ch.onLoopLocked(s.id)
	}
	if here != nil {
		if id, _ := s.find(x, here.local); id != 0 {
			s.r.loops.MustPost(s.id, opWelcome, s.ref(slot, x).pack(), s.welcomeLocked(dir, ch, here.local, req, at))
			return nil
		}
	}
	if int(x.subscriptions) >= limits.Subscriptions {
		s.stats.failures.limited[scopeSubscriptions].Add(1)
		return limitReached("subscriptions: %d, limit %d (limits.subscriptions)", x.subscriptions+1, limits.Subscriptions)
	}
	if ch != nil && kind&pusher.Presence != 0 && s.r.broker == nil {
		if p := ch.presenceLocked(); p.users[member.UserID] == nil && len(p.list) >= limits.PresenceMembers {
			s.stats.failures.limited[scopePresence].Add(1)
			return limitReached("presence members: %d, limit %d (limits.presence_members)", len(p.list)+1, limits.PresenceMembers)
		}
	}
	id, n := s.nodes.Alloc()
	if id == 0 {
		return limitReached("subscriptions of all connections of one loop: limit %d", s.r.memberships)
	}
	local := uint32(0)
	if here == nil {
		if local, _ = s.locals.Alloc(); local == 0 {
			s.nodes.Free(id)
			return limitReached("channels of one loop: limit %d", s.r.memberships)
		}
	}

	if ch == nil {
		ch = dir.createLocked(req.app, req.name, kind)
		if s.r.broker != nil {
			s.r.followLocked(ch)
		}
	}
	if ch.at.Epoch == "" && !ch.at.Broken {
		ch.at = at
	}
	if kind&pusher.Presence != 0 {
		s.enterPresenceLocked(ch, id, member)
	}
	if here == nil {
		here = ch.addLoopLocked(s.id, local)
		s.channels.set(local, ch)
	}
	here.count++
	ch.members++
	ch.checkLocked()
	req.entered = false // the membership has it now
	*n = membership{next: x.first, local: here.local, place: placePending}
	x.first = id
	x.subscriptions++
	s.stats.subscriptions[typeOf(kind)].Add(1)

	arg := uint64(id) | uint64(slot)<<32
	if kind&(pusher.Presence|pusher.Cache) == 0 && req.rule.Events == 0 && req.replay == pusher.ReplayNone {
		s.r.loops.MustPost(s.id, opJoin, arg, ch)
	} else {
		s.r.loops.MustPost(s.id, opJoin, arg, s.welcomeLocked(dir, ch, here.local, req, at))
	}
	s.countChangedLocked(ch)
	return nil
}

// enterPresenceLocked makes the subscriber known. The others are told before the
// subscriber's marker is posted, so it does not hear of itself.
func (s *Shard) enterPresenceLocked(ch *channel, id uint32, member pusher.Member) {
	if s.r.broker != nil {
		s.present[id] = &presentUser{member: member} // the broker has told the others
		return
	}
	u, first := ch.presenceLocked().joinLocked(member)
	s.present[id] = u
	if first && ch.members > 0 {
		s.text = pusher.AppendMemberAdded(s.text[:0], ch.name, u.member)
		s.r.postLocked(ch, s.r.newDelivery(ch.app, sentPresence, s.text, s.now))
	}
}

// welcomeLocked reads what a subscriber of this moment is to be told.
func (s *Shard) welcomeLocked(dir *dirShard, ch *channel, local uint32, req *request, at Position) *welcome {
	w := &welcome{ch: ch, local: local, at: at, more: req.success(at), own: req.former}
	if req.replay != pusher.ReplayNone {
		s.stats.replays[replayResultOf(w.more)].Add(1)
	}
	if p := ch.presenceLocked(); p != nil {
		w.snap = p.snapshotLocked()
	}
	if ch.kind&pusher.Cache != 0 {
		w.cached = s.r.cachedLocked(dir, ch.app, ch.name, s.now)
	}
	return w
}

// admit adds a member at its join marker.
func (s *Shard) admit(id, slot uint32, ref any) {
	n := s.nodes.At(id)
	if n.place == placeCancelled {
		s.nodes.Free(id)
		return
	}
	l := s.locals.At(n.local)
	n.place = s.arrays.push(l, slot)
	switch w := ref.(type) {
	case *channel:
		if s.sessions.at(slot).flags&flagStream != 0 {
			s.streamWelcome(slot, id, &welcome{ch: w, local: n.local})
			return
		}
		s.succeed(slot, w.name, "{}", pusher.Success{})
	case *welcome:
		// Whatever was posted before the marker has been walked.
		l.walked = max(l.walked, w.at.Seq)
		s.welcome(slot, id, w)
	}
}

// welcomeAgain answers a repeated subscribe, unless the subscription or the whole
// connection has ended since.
func (s *Shard) welcomeAgain(ref connRef, w *welcome) {
	if !s.sessions.is(ref) {
		return
	}
	if id, _ := s.find(s.sessions.at(ref.slot), w.local); id != 0 {
		s.welcome(ref.slot, id, w)
	}
}

// welcome writes success, begins a replay, and writes the last event of a cache
// channel or its absence, unless a replay has that.
func (s *Shard) welcome(slot, id uint32, w *welcome) {
	if s.sessions.at(slot).flags&flagStream != 0 {
		s.streamWelcome(slot, id, w)
		return
	}
	data := "{}"
	if w.snap != nil {
		data = w.snap.text()
	}
	s.succeed(slot, w.ch.name, data, w.more)
	if w.more.Replayed > 0 {
		s.pullLater(s.fallBack(slot, id, w.local, w.more.Seq+1, w.own))
	}
	if w.ch.kind&pusher.Cache == 0 || w.more.Replay == pusher.ReplayRecovered || w.more.Replayed > 0 {
		return
	}
	if w.cached != nil {
		s.text = append(s.text[:0], w.cached...)
	} else {
		s.text = pusher.AppendCacheMiss(s.text[:0], w.ch.name)
	}
	s.send(slot, s.sessions.at(slot))
}

func (s *Shard) succeed(slot uint32, channel, data string, more pusher.Success) {
	s.text = pusher.AppendSucceeded(s.text[:0], channel, data, more)
	s.send(slot, s.sessions.at(slot))
}

// find looks for a connection's membership in a local channel; prev is the one
// before it in the connection's list. Both are 0 when there is none.
func (s *Shard) find(x *session, local uint32) (id, prev uint32) {
	for id = x.first; id != 0; {
		n := s.nodes.At(id)
		if n.local == local {
			return id, prev
		}
		prev, id = id, n.next
	}
	return 0, 0
}
