package router

import (
	"fmt"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

func watchlistCut(limit int) string {
	return fmt.Sprintf("watchlist: cut to its first %d users (limits.watchlist)", limit)
}

// watchLocked registers a connection as a watcher and returns who is online and who
// is not. Of a user named twice the second mention is ignored.
func (r *Router) watchLocked(app *App, ref connRef, in *signedIn, ids []string) (online, offline []string) {
	for _, id := range ids {
		who := r.userLocked(app, id)
		if !who.watchers.add(ref) {
			continue
		}
		in.watching = append(in.watching, who)
		if r.isOnline(who) {
			online = append(online, id)
		} else {
			offline = append(offline, id)
		}
	}
	return online, offline
}

// unwatchLocked ends what watchLocked began.
func (r *Router) unwatchLocked(app *App, ref connRef, in *signedIn) {
	for _, who := range in.watching {
		who.watchers.remove(ref)
		r.tidyLocked(app, who)
	}
	in.watching = nil
}

// announceLocked tells a user's watchers that it came or went. users.mu is held.
func (r *Router) announceLocked(who *user, online bool) {
	if who.watchers.len() == 0 {
		return
	}
	ids := []string{who.id}
	var text []byte
	if online {
		text = pusher.AppendWatchlist(nil, ids, nil)
	} else {
		text = pusher.AppendWatchlist(nil, nil, ids)
	}
	r.postRosters(&who.watchers, text, nil)
}
