package router

import (
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// unsubscribe handles pusher:unsubscribe in s.msg. It has no answer, not even for
// a channel that the connection is not subscribed to.
func (s *Shard) unsubscribe(slot uint32, x *session) {
	name, err := s.decoder.Unsubscribe(s.msg.Data)
	if err != nil {
		s.sendError(slot, x, codeInvalidMessage, "Invalid message format")
		return
	}
	if id, prev := s.membershipOf(x, name); id != 0 {
		s.leave(slot, x, id, prev)
	}
}

// membershipOf finds a connection's membership by the channel's name.
func (s *Shard) membershipOf(x *session, name []byte) (id, prev uint32) {
	if x.first == 0 {
		return 0, 0
	}
	dir := s.appOf(x).dir.shardBytes(name)
	local := uint32(0)
	dir.mu.Lock()
	if ch := dir.channels[string(name)]; ch != nil {
		if here := ch.onLoopLocked(s.id); here != nil {
			local = here.local
		}
	}
	dir.mu.Unlock()
	// Only this loop adds or removes its entry, so local is still right.
	if local == 0 {
		return 0, 0
	}
	return s.find(x, local)
}

// leave ends one subscription; prev is the membership before it in the
// connection's list, 0 = it is the first.
func (s *Shard) leave(slot uint32, x *session, id, prev uint32) {
	n := s.nodes.At(id)
	local := n.local
	s.leaveDirectory(s.channels.at(local), local, id)

	if prev == 0 {
		x.first = n.next
	} else {
		s.nodes.At(prev).next = n.next
	}
	x.subscriptions--
	if c := s.cursors[id]; c != nil {
		s.dropCursor(c)
	}
	if n.place == placePending {
		n.place = placeCancelled // its marker is on the way and frees it
		return
	}
	s.drop(slot, local, n.place)
	s.nodes.Free(id)
}

// leaveDirectory takes one member out of the shared books and tells the others.
func (s *Shard) leaveDirectory(ch *channel, local, id uint32) {
	s.stats.subscriptions[typeOf(ch.kind)].Add(-1)
	dir := ch.app.dir.shard(ch.name)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	here := ch.onLoopLocked(s.id)
	invariant.Check(here != nil && here.local == local, "a membership's channel does not list its loop")
	here.count--
	ch.members--
	if here.count == 0 {
		// From here on nothing is posted for this local record, and the marker comes
		// after everything that was.
		ch.dropLoopLocked(s.id)
		s.r.loops.MustPost(s.id, opRetire, uint64(local), nil)
	}
	ch.checkLocked()
	if ch.kind&pusher.Presence != 0 {
		s.leavePresenceLocked(ch, id)
	}
	if ch.members == 0 {
		dir.removeLocked(ch)
		if s.r.broker != nil {
			s.countChangedLocked(ch) // of the others' sum
			s.r.broker.Unfollow(logKey(ch.app, ch.name))
		}
		return
	}
	s.countChangedLocked(ch)
}

// leavePresenceLocked takes one connection of a user out of a presence channel.
func (s *Shard) leavePresenceLocked(ch *channel, id uint32) {
	u := s.present[id]
	delete(s.present, id)
	if s.r.broker != nil {
		s.r.broker.Leave(logKey(ch.app, ch.name), u.member.UserID)
		return
	}
	if ch.presenceLocked().leaveLocked(u) && ch.members > 0 {
		s.text = pusher.AppendMemberRemoved(s.text[:0], ch.name, u.member.UserID)
		s.r.postLocked(ch, s.r.newDelivery(ch.app, sentPresence, s.text, s.now))
	}
}

// drop removes the member at a place of a local channel's array. During a walk it
// keeps the partition into visited and waiting members (walk, W2).
func (s *Shard) drop(slot, local, place uint32) {
	l := s.locals.At(local)
	if invariant.On {
		invariant.Check(*s.arrays.at(l, place) == slot, "a membership's place holds another connection")
	}
	if l.queue != 0 {
		if w := &s.queues.at(l.queue).walk; w.batch != nil {
			w.check.leave(slot)
			if place < w.cursor {
				w.cursor--
				s.moveMember(local, l, w.cursor, place)
				place = w.cursor
			}
		}
	}
	s.moveMember(local, l, l.count-1, place)
	s.arrays.pop(l)
}

// moveMember copies a member to another place and corrects its membership.
func (s *Shard) moveMember(local uint32, l *localChannel, from, to uint32) {
	if from == to {
		return
	}
	slot := *s.arrays.at(l, from)
	*s.arrays.at(l, to) = slot
	id, _ := s.find(s.sessions.at(slot), local)
	invariant.Check(id != 0, "a member of a channel has no membership")
	s.nodes.At(id).place = to
}
