package router

import (
	"errors"
	"sync"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router/auth"
)

// users knows the signed-in users of one application and who watches whom.
//
// A watcher reads the state of a user and is registered in one step under the
// lock, and changes are posted under it: it misses none and hears none twice.
// Lock order: this lock, then a loop's inbox; never a directory lock beside it.
type users struct {
	mu   sync.Mutex
	byID map[string]*user // users with a connection or a watcher
}

// user is one user id. Guarded by users.mu.
type user struct {
	id       string  // immutable
	conns    connSet // signed in as the user on this node
	watchers connSet // have the user on their watchlist

	remote presenceOf // in a cluster
}

// isOnline tells whether the user is signed in, on this node or in a cluster on any.
func (r *Router) isOnline(who *user) bool {
	if r.broker != nil {
		return who.remote.online
	}
	return who.conns.len() > 0
}

// signedIn is what a loop keeps for a connection that signed in.
type signedIn struct {
	user     *user
	member   pusher.Member // who it is on presence channels without channel_data
	watching []*user
}

func (r *Router) userLocked(app *App, id string) *user {
	u := &app.users
	if got := u.byID[id]; got != nil {
		return got
	}
	if u.byID == nil {
		u.byID = map[string]*user{}
	}
	made := &user{id: id}
	u.byID[id] = made
	if r.broker != nil {
		r.followUserLocked(app, made)
	}
	return made
}

// tidyLocked forgets a user without connections and watchers.
func (r *Router) tidyLocked(app *App, who *user) {
	if who.conns.len() == 0 && who.watchers.len() == 0 {
		delete(app.users.byID, who.id)
		if r.broker != nil {
			r.broker.Unfollow(onlineKey(app, who.id))
		}
	}
}

// signedIn returns a connection's sign-in; nil when there is none.
func (s *Shard) signedIn(slot uint32, x *session) *signedIn {
	if x.flags&flagSigned == 0 {
		return nil
	}
	return s.signed[slot]
}

// signIn handles pusher:signin in s.msg.
//
// A connection has one user for its whole life. Signing in again as the same one is
// answered again, and its watchlist replaced; as another one it is refused. Every
// refusal is a pusher:error and the connection stays: a close in the 4000s would
// keep the page away for good.
func (s *Shard) signIn(slot uint32, x *session) {
	var in pusher.Signin
	if s.decoder.Signin(s.msg.Data, &in) != nil {
		s.sendError(slot, x, codeInvalidMessage, "Invalid message format")
		return
	}
	app := s.appOf(x)
	var id [socketIDBytes]byte
	if err := app.Credentials().VerifySignin(in.Auth, s.socketID(id[:0], slot, x), in.UserData); err != nil {
		reason := authSignature
		if errors.Is(err, auth.ErrKey) {
			reason = authKey
		}
		s.stats.failures.auth[reason].Add(1)
		s.sendError(slot, x, codeUnauthorized, "sign-in: signature does not match socket_id::user::user_data")
		return
	}
	limits := s.r.limits()
	who, err := pusher.ParseUserData(in.UserData, limits.UserIDBytes, limits.UserInfoBytes, limits.Watchlist)
	if err != nil {
		s.sendError(slot, x, codeInvalidMessage, "sign-in: "+err.Error())
		return
	}
	had := s.signedIn(slot, x)
	if had != nil && had.member.UserID != who.ID {
		s.sendError(slot, x, codeInvalidMessage, "sign-in: the connection is signed in as another user")
		return
	}
	if had == nil {
		had = &signedIn{}
		s.signed[slot] = had
		x.flags |= flagSigned
	}
	had.member = pusher.Member{UserID: who.ID, Info: who.Info}
	data := string(in.UserData)
	if s.r.broker != nil && len(who.Watchlist) > 0 {
		s.lookForUsers(slot, x, &signingIn{ref: s.ref(slot, x), app: app, in: had, who: who, data: data})
		return
	}
	s.signedInAs(slot, x, app, had, who, data)
}

// signedInAs registers the sign-in and answers it.
func (s *Shard) signedInAs(slot uint32, x *session, app *App, in *signedIn, who pusher.User, data string) {
	limits := s.r.limits()
	online, offline := s.enterUser(app, s.ref(slot, x), in, who)
	s.text = pusher.AppendSigninSuccess(s.text[:0], data)
	s.send(slot, x)
	if who.WatchlistCut {
		s.sendError(slot, x, codeWatchlist, watchlistCut(limits.Watchlist))
	}
	if len(online)+len(offline) > 0 {
		s.text = pusher.AppendWatchlist(s.text[:0], online, offline)
		s.send(slot, x)
	}
}

// enterUser registers a sign-in and its watchlist, and returns the state of the
// watched users at that moment.
func (s *Shard) enterUser(app *App, ref connRef, in *signedIn, who pusher.User) (online, offline []string) {
	u := &app.users
	if s.r.broker != nil {
		defer s.r.tellUser(app, in)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if in.user == nil {
		in.user = s.r.userLocked(app, who.ID)
		in.user.conns.add(ref)
		if in.user.conns.len() == 1 && s.r.broker == nil {
			s.r.announceLocked(in.user, true)
		}
	}
	s.r.unwatchLocked(app, ref, in)
	return s.r.watchLocked(app, ref, in, who.Watchlist)
}

// signOut ends the sign-in of a connection that is closed.
func (s *Shard) signOut(slot uint32, x *session) {
	in := s.signedIn(slot, x)
	if in == nil {
		return
	}
	delete(s.signed, slot)
	if in.user == nil {
		return // its watchlist was still being looked up
	}
	app, ref := s.appOf(x), s.ref(slot, x)
	if s.r.broker != nil {
		defer s.r.tellUser(app, in)
	}
	app.users.mu.Lock()
	defer app.users.mu.Unlock()
	s.r.unwatchLocked(app, ref, in)
	in.user.conns.remove(ref)
	if in.user.conns.len() == 0 && s.r.broker == nil {
		s.r.announceLocked(in.user, false)
	}
	s.r.tidyLocked(app, in.user)
}

// Terminate closes every connection that is signed in as the user, with a code
// that makes the client stop. Members of presence channels that did not sign in
// are not affected. A user who is not online is no error. In a cluster the connections
// of all nodes are closed; ErrBrokerUnavailable: none may be. Not on a loop.
func (r *Router) Terminate(app *App, userID string) error {
	if r.broker != nil {
		return r.broker.Tell(onlineKey(app, userID), tellTerminate)
	}
	r.terminate(app, userID)
	return nil
}

// terminate closes those of this node.
func (r *Router) terminate(app *App, userID string) {
	reason := frame.Terminated
	app.users.mu.Lock()
	defer app.users.mu.Unlock()
	if who := app.users.byID[userID]; who != nil {
		r.postRosters(&who.conns, nil, &reason)
	}
}
