package api

import (
	"net/url"
	"strings"
)

// route is one kind of request. It is also the label of the request metrics.
type route uint8

const (
	routeOther route = iota // no such path
	routeUp
	routeEvents
	routeBatch
	routeChannels
	routeChannel
	routeUsers
	routeHistory
	routeTerminate
	routeConnections
	routeSession
	routes // their number
)

// String is the metric label.
func (r route) String() string {
	return [routes]string{"other", "up", "events", "batch_events", "channels", "channel", "users", "history", "terminate", "connections", "session"}[r]
}

// allow is the Allow header of the route: the methods that it answers.
func (r route) allow() string {
	switch r {
	case routeEvents, routeBatch, routeTerminate:
		return "POST"
	case routeSession:
		return "POST, OPTIONS"
	case routeHistory:
		return "GET" // a HEAD would read the log for nothing
	default:
		return "GET, HEAD"
	}
}

// allows reports whether the route answers the method.
func (r route) allows(method string) bool {
	switch r {
	case routeEvents, routeBatch, routeTerminate:
		return method == "POST"
	case routeSession:
		return method == "POST" || method == "OPTIONS"
	case routeHistory:
		return method == "GET"
	default:
		return method == "GET" || method == "HEAD"
	}
}

// place is a request target taken apart. Its strings are parts of the target,
// still percent-encoded, but app and name, which are decoded.
type place struct {
	route route
	path  string // what the client signed: the path as sent, without prefix and query
	query string
	app   string // of every route but other and up: its id; of session its key
	name  string // the channel of channel, users and history; the user of terminate
}

// locate takes a request target in origin form apart. It never fails: what it
// does not know is routeOther.
func locate(target, prefix string) place {
	var p place
	p.path, p.query, _ = strings.Cut(target, "?")
	rest, ok := strings.CutPrefix(p.path, prefix)
	if !ok || !strings.HasPrefix(rest, "/") {
		return p
	}
	p.path = rest
	if rest == "/up" {
		p.route = routeUp
		return p
	}
	if door, ok := strings.CutPrefix(rest, "/app/"); ok {
		if key, action, _ := strings.Cut(door, "/"); key != "" && action == "session" {
			p.route, p.app = routeSession, decoded(key)
		}
		return p
	}
	rest, ok = strings.CutPrefix(rest, "/apps/")
	if !ok {
		return p
	}
	app, rest, ok := strings.Cut(rest, "/")
	if !ok || app == "" {
		return p
	}
	switch {
	case rest == "events":
		p.route = routeEvents
	case rest == "batch_events":
		p.route = routeBatch
	case rest == "channels":
		p.route = routeChannels
	case rest == "connections":
		p.route = routeConnections
	case strings.HasPrefix(rest, "channels/"):
		p.route, p.name = locateChannel(rest[len("channels/"):])
	case strings.HasPrefix(rest, "users/"):
		// A user id may hold a slash, and not every SDK encodes it.
		user, ok := strings.CutSuffix(rest[len("users/"):], "/terminate_connections")
		if ok && user != "" {
			p.route, p.name = routeTerminate, decoded(user)
		}
	}
	if p.route != routeOther {
		p.app = decoded(app)
	}
	return p
}

// locateChannel takes {name}, {name}/users or {name}/history.
func locateChannel(rest string) (route, string) {
	name, action, more := strings.Cut(rest, "/")
	switch {
	case name == "":
		return routeOther, ""
	case !more:
		return routeChannel, decoded(name)
	case action == "users":
		return routeUsers, decoded(name)
	case action == "history":
		return routeHistory, decoded(name)
	default:
		return routeOther, ""
	}
}

// decoded undoes percent-encoding. What is not well encoded stays as it is:
// no channel, user or app has such a name, and the answer then says so.
func decoded(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}
