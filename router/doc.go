// Package router is the Pusher side of a connection: applications, sessions,
// channels, presence, client events, users, and the fan-out of published events.
//
// Who owns what. A session and its memberships belong to the loop that owns the
// connection; a Shard is the router's part of one loop and runs on its goroutine
// only. The channel directory is shared: each application has its own, cut into
// shards with a lock each. A loop knows its members of a channel, the directory
// knows which loops have members. Other goroutines reach a loop only through its
// inbox (Loops).
//
// What order is kept. Everything that happens to a channel is put into the inboxes
// while the channel's directory lock is held: published events, presence changes
// and join markers. So every loop sees the same order, and a member that is added
// at its marker misses nothing after it and sees nothing from before it. Presence
// members and the cached event are read in the same step.
//
// What it costs. A session is a record of at most 64 bytes and a membership 16,
// outside the Go heap; there is no goroutine, closure or map entry for an idle
// connection. Maps exist for presence, signed-in users, watchlists and cached
// events only.
//
// What it refuses: to read a clock (time is an argument, or comes from the clock
// function that New is given), to open sockets, to block on a loop.
package router
