// Package oracle decides whether a server lost anything without saying so.
//
// What. Publishers write numbered events with a hash, and note in a Ledger what they
// asked for and what the API answered. Clients note in a Diary what they received
// and what they were told about their continuity. When everything is quiet Check
// holds the two, and what the server's history holds, against each other:
//
//	silent      an event that was taken is missing at a client, and nothing was said: 0 always
//	duplicate   an event came twice to a client: 0
//	disorder    an event came after a later one of its channel: 0
//	hole        a seq is missing inside an epoch: 0
//	invented    a client got what was refused or never published, or got it altered: 0
//	misplaced   an event stood at two positions: 0
//	not kept    the log does not have what it took, and a position in it still counts: 0
//	gap         continuity ended with a reason: only with those that the fault allows
//
// Who owns what. A Ledger and a Diary may be written by any goroutine. A World is one
// server process, or the nodes of a cluster, with its publishers and clients; a test
// owns it.
//
// The tests do the server harm: they kill it, cut its clients off, let single system
// calls fail, fill its disk, flip bits in its files, and stop reading. Of a cluster they
// kill, stop and cut off the nodes, Redis, and the network between the two. Each prints
// one line of JSON with its figures. They run at a size for every day;
// HOLDFAST_SOAK=1 runs them at full size, HOLDFAST_SEED repeats a run's choices, and
// with HOLDFAST_RESULTS=dir the line is also written to a file there.
//
// What it refuses. It injects failures with strace and mounts a tmpfs: without root
// or strace those tests fail and say so. Those of a cluster need redis-server, and nft and
// ip in a network namespace.
package oracle
