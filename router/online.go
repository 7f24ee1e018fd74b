package router

import (
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// In a cluster a user is online while signed in on any node. It is kept as the presence of
// the user in a channel that no client can name (OnlinePrefix): nodes with connections or
// watchers of the user follow it.

// presenceOf is what this node knows, and says, of a user. Guarded by users.mu.
type presenceOf struct {
	online  bool
	version uint64 // of the broker's list
	told    bool   // the broker was told that the user has connections here
	telling bool   // somebody is about it
}

// signingIn is a sign-in whose watched users are being looked up.
type signingIn struct {
	ref  connRef
	app  *App
	in   *signedIn
	who  pusher.User
	data string
}

// tellTerminate has the nodes close a user's connections.
const tellTerminate = "terminate"

// onlineAgain is after which time the broker is told again of a user that it could not be
// told of.
const onlineAgain = time.Second

func onlineKey(app *App, userID string) string { return logKey(app, OnlinePrefix+userID) }

// followUserLocked begins to hear of a user.
func (r *Router) followUserLocked(app *App, who *user) {
	key := onlineKey(app, who.id)
	r.broker.Follow(key)
	version, list := r.broker.Members(key)
	who.remote.version, who.remote.online = version, len(list) > 0
}

// lookForUsers has the broker follow the watched users, off the loop, and pauses the
// connection: its answer says who is online.
func (s *Shard) lookForUsers(slot uint32, x *session, w *signingIn) {
	x.flags |= flagLooking
	s.r.jobs.run(func() {
		for _, id := range w.who.Watchlist {
			if _, err := s.r.broker.Load(onlineKey(w.app, id)); err != nil {
				break // those behind it are offline until they are heard of
			}
		}
		s.r.loops.MustPost(int(w.ref.loop), opWatched, 0, w)
	})
}

// watched goes on with a sign-in, and with its connection.
func (s *Shard) watched(w *signingIn) {
	if !s.sessions.is(w.ref) {
		return
	}
	slot := w.ref.slot
	x := s.sessions.at(slot)
	x.flags &^= flagLooking
	if x.flags&flagEnding != 0 {
		return
	}
	s.signedInAs(slot, x, w.app, w.in, w.who, w.data)
	if x.flags&(flagLooking|flagPaused|flagEnding) == 0 {
		s.conns.Resume(slot)
	}
}

// tellUser has somebody tell the broker whether a signed-in user has connections here, if
// it was told otherwise.
func (r *Router) tellUser(app *App, in *signedIn) {
	who := in.user
	app.users.mu.Lock()
	now := !who.remote.telling && who.remote.told != (who.conns.len() > 0)
	who.remote.telling = who.remote.telling || now
	app.users.mu.Unlock()
	if now {
		r.jobs.run(func() { r.tell(app, who) })
	}
}

// tell tells the broker until it knows what is so.
func (r *Router) tell(app *App, who *user) {
	key := onlineKey(app, who.id)
	for {
		app.users.mu.Lock()
		has := who.conns.len() > 0
		if has == who.remote.told {
			who.remote.telling = false
			app.users.mu.Unlock()
			return
		}
		app.users.mu.Unlock()
		if !has {
			r.broker.Leave(key, who.id)
		} else if r.broker.Enter(key, pusher.Member{UserID: who.id}, 1) != nil {
			time.AfterFunc(onlineAgain, func() { r.tell(app, who) })
			return
		}
		app.users.mu.Lock()
		who.remote.told = has
		app.users.mu.Unlock()
	}
}

// online is told by the broker that a user came or went.
func (r *Router) online(app *App, id string, version uint64, came, went bool) {
	app.users.mu.Lock()
	defer app.users.mu.Unlock()
	who := app.users.byID[id]
	if who == nil || version <= who.remote.version {
		return
	}
	was := who.remote.online
	who.remote.version = version
	who.remote.online = came || was && !went
	if who.remote.online != was {
		r.announceLocked(who, who.remote.online)
	}
}

// Told implements Receiver.
func (r *Router) Told(key, what string) {
	app, channel, ok := r.splitKey(key)
	if !ok || what != tellTerminate || len(channel) < len(OnlinePrefix) {
		return
	}
	r.terminate(app, channel[len(OnlinePrefix):])
}
