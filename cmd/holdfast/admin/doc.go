// Package admin is the operator's listener: /metrics, /livez, /readyz and, if
// switched on, /debug/pprof, on net/http with a mux of its own.
//
// What: GET is open to peers on a loopback address or a unix socket. Any other
// peer, and any method that could change something, needs the admin token as
// "Authorization: Bearer TOKEN". The Host and Origin headers must name one of
// admin.hosts, because a page in a browser on this machine can send requests
// to a loopback port through a name that it controls (DNS rebinding).
//
// Who owns it: Server owns its listener and the goroutines of net/http. The
// functions and the gatherer in Options are called from any goroutine.
//
// What it holds: at most 64 connections, four scrapes and one profile at a
// time; a request head is at most 16 KiB.
//
// What it refuses: 403 for a wrong Host, Origin or peer, 401 for a missing or
// wrong token, 405 for a method that a path does not have, 503 beyond its
// bounds. It never shows the command line, which may hold a secret.
package admin
