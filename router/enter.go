package router

import (
	"errors"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// brokerAway is why a presence channel cannot be joined: the others, on other nodes, could
// not be told. The client comes again in a second.
const brokerAway = "the broker of the cluster does not answer: come again"

// enters tells whether the broker has to be told of the member first. A connection that is
// a member already remains whoever it is.
func (s *Shard) enters(req *request) bool {
	return s.r.broker != nil && req.kind&pusher.Presence != 0 && !req.entered && !req.crowded && !req.closes && !req.joined
}

// enter tells the broker of the member. Not on a loop.
func (req *request) enter(r *Router, key string) {
	req.crowded, req.closes = false, false
	switch err := r.broker.Enter(key, req.member, r.limits().PresenceMembers); {
	case err == nil:
		req.entered = true
	case errors.Is(err, ErrPresenceFull):
		req.crowded = true
	default:
		req.closes = true
	}
}

// full refuses a member that the broker had no room for.
func (req *request) full(limits *Limits) *refusal {
	if !req.crowded {
		return nil
	}
	return limitReached("presence members: %d, limit %d (limits.presence_members)", limits.PresenceMembers+1, limits.PresenceMembers)
}

// settle takes back what the broker was told of a member who did not join.
func (s *Shard) settle(req *request) {
	if req.entered {
		req.entered = false
		s.r.broker.Leave(logKey(req.app, req.name), req.member.UserID)
	}
}

// followLocked tells the broker of a channel's first subscriber, and takes over who is in
// it. The directory lock makes the list and what changes it afterwards fit together.
func (r *Router) followLocked(ch *channel) {
	key := logKey(ch.app, ch.name)
	r.broker.Follow(key)
	if p := ch.presenceLocked(); p != nil {
		version, list := r.broker.Members(key)
		p.version = version
		for _, m := range list {
			p.addLocked(m)
		}
	}
}
