// Package wheel keeps one deadline for each connection in a hashed timer wheel
// of one-second ticks.
//
// A wheel belongs to one loop and has no locks. Its nodes are linked by slot
// number and live outside the Go heap, in a table that all loops share: a
// connection's node belongs to the loop that owns the connection. A node is
// either unlinked, linked in the bucket of its due tick, or, while Advance
// runs, linked in the firing list.
//
// It never reads the clock and never closes anything: the caller says which tick
// it is, and is told which slots are due. Slot 0 is refused; it stands for "none".
package wheel
