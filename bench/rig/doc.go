// Rig measures holdfast against bench/floor and prints one table with the bars it must reach.
//
// What: "rig all" runs every row; "rig recover" cuts everybody off and checks that all get what they missed; "rig streams"
// opens event streams and polls; "rig exact" proves exactly-once, in-order delivery; "rig storm" connects everybody at
// once; "rig profile" records a CPU profile under one row's load; "rig returns", "rig stuck", "rig fair", "rig churn",
// "rig curves", "rig pauses" and "rig collector" check what no single figure shows; "rig cluster" runs two nodes and a
// Redis of its own. bench/README.md tells the method of each.
//
// Who owns what: one goroutine, locked to the main thread, runs the crowd (all client sockets behind one epoll
// descriptor) and starts the servers, Redis included; a small waiter per server process only collects its exit. Nothing
// is shared. The streams and polls of "rig streams" are the exception: each has a goroutine, since that client is not
// what is measured.
//
// What it refuses: to measure on a busy machine without -force, with a single CPU, or with too few descriptors; it says
// what to do instead. A run in which a subscriber was lost, or a publish failed, has no figure but a reason.
package main
