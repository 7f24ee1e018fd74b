// Package bench is the load client behind holdfast bench: it holds many
// connections to any server of the Pusher protocol, publishes over the signed
// HTTP API, and counts what was lost, doubled or overtaken.
//
// Who owns what: a loop is one goroutine with one epoll set; it owns its share
// of the connections, whose state lies in pointer-free tables outside the
// collector's reach. The publisher is one more goroutine with its own epoll
// set, so that receptions do not make publishes late. The leader moves all loops
// of all processes through the steps of a scenario over a board of shared memory.
//
// What it holds: two small records a connection (see conn and track), and a
// pooled buffer for a connection only while a frame is incomplete or the kernel
// takes no more output.
//
// What it refuses: wss:// targets, since TLS costs tens of kilobytes a connection
// on the client's side; frames above 1 MiB, masked frames and unasked extensions of
// the server, each counted by name; more connections than descriptors or ports
// allow, unless forced.
package bench
