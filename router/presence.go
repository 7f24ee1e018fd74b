package router

import (
	"sync"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// presence is the member list of one presence channel: distinct users, each with
// the number of its connections. Guarded by the channel's directory lock.
//
// In a cluster it holds the users of all nodes, as the broker tells them (version), and
// the connections of this one do not change it.
type presence struct {
	users map[string]*presentUser // by user id
	list  []*presentUser          // the same users; order of joining but for gaps filled from the end
	snap  *snapshot               // the list as last read; nil after a change

	version uint64 // of the broker's list
}

// presentUser is one user of a presence channel. The first connection's user_info
// is kept until the user is gone, so all members see one truth.
type presentUser struct {
	member pusher.Member // immutable
	conns  int           // connections of the user on the channel; > 0. Not in a cluster
	place  int           // index in presence.list
}

// snapshot is the member list at one moment. Joiners share it, and its encoded
// form, while the set of members does not change.
type snapshot struct {
	members []pusher.Member // immutable

	once sync.Once
	data string // the data text of subscription_succeeded
}

func newPresence() *presence { return &presence{users: map[string]*presentUser{}} }

// joinLocked registers one more connection of m. first tells that the user was not
// there before: the others must hear of it.
func (p *presence) joinLocked(m pusher.Member) (u *presentUser, first bool) {
	if u := p.users[m.UserID]; u != nil {
		u.conns++
		return u, false
	}
	u = p.insertLocked(m)
	u.conns = 1
	return u, true
}

func (p *presence) insertLocked(m pusher.Member) *presentUser {
	u := &presentUser{member: m, place: len(p.list)}
	p.users[m.UserID] = u
	p.list = append(p.list, u)
	p.snap = nil
	return u
}

// leaveLocked removes one connection of u. last tells that the user is gone.
func (p *presence) leaveLocked(u *presentUser) (last bool) {
	u.conns--
	if u.conns > 0 {
		return false
	}
	p.deleteLocked(u)
	return true
}

func (p *presence) deleteLocked(u *presentUser) {
	delete(p.users, u.member.UserID)
	end := len(p.list) - 1
	p.list[u.place] = p.list[end]
	p.list[u.place].place = u.place
	p.list[end] = nil
	p.list = p.list[:end]
	p.snap = nil
}

// moveLocked takes a version of the broker's list. false: what came with it is known.
func (p *presence) moveLocked(version uint64) bool {
	if version <= p.version {
		return false
	}
	p.version = version
	return true
}

// addLocked enters a user of any node; false: it is there.
func (p *presence) addLocked(m pusher.Member) bool {
	if p.users[m.UserID] != nil {
		return false
	}
	p.insertLocked(m)
	return true
}

// removeLocked takes a user out who is on no node any more; false: it is not there.
func (p *presence) removeLocked(id string) bool {
	u := p.users[id]
	if u == nil {
		return false
	}
	p.deleteLocked(u)
	return true
}

// snapshotLocked reads the member list.
func (p *presence) snapshotLocked() *snapshot {
	if p.snap == nil {
		members := make([]pusher.Member, len(p.list))
		for i, u := range p.list {
			members[i] = u.member
		}
		p.snap = &snapshot{members: members}
	}
	return p.snap
}

// text is the encoded list. It is made by the first loop that needs it, outside
// the directory lock, because a thousand members are a large text.
func (s *snapshot) text() string {
	s.once.Do(func() {
		s.data = string(pusher.AppendPresenceData(nil, s.members))
	})
	return s.data
}
