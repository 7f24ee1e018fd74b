// Package persist is the replay log: it gives every event of a channel its place,
// keeps it for a while, and can tell a client that was away exactly what it missed,
// or that it cannot be told.
//
// What. A channel, named by a key, has a position: an epoch and a seq that grows by
// one with each event. Inside an epoch nothing that was handed out is missing; an
// epoch ends when that can no longer be proved. A client that shows a position gets
// everything after it, in order, or a reason why not: never a hole.
//
// How an event goes. Append queues it for the sequencer of its channel's shard. The
// sequencer takes what waits as a group, gives each event its seq, lets its Item
// append the finished bytes, writes the group to the journal with one write, makes
// the events visible in the index, and calls Done in order. An event that is to be
// durable, and what follows it in its channel, waits for the fdatasync of its group.
// The checkpointer moves events from the index into segment files, sorted by
// channel; after that the journal's parts are dropped.
//
// Who owns what. A sequencer is one goroutine and owns its channels' assignments
// (shard, and the first fields of channel). What has become visible is behind each
// channel's own lock, so that any goroutine, event loops included, may look at it
// without waiting for a disk. The syncer alone syncs, the checkpointer alone commits
// (rules C1–C4 at the type). Time comes from Config.Now.
//
// What is promised, after what:
//
//	kill -9       Whatever was handed out is there: same epochs, no holes.
//	power cut     Whatever was durable is there. All channels have new epochs but
//	              those whose rule is durable; what was kept stays readable.
//	full disk,    Events are handed out without a seq, durable ones are refused. Such a
//	failed write  channel is broken until the log can write, and then has a new epoch.
//	              The mark `behind`, raised first, makes that hold across a restart.
//	start on a    The log stands by or cannot write: events are handed out without a
//	failing disk  seq until it can, then every channel that got one has a new epoch.
//	damage        The file is set aside, the log goes on. Lost events show as an
//	              explicit reason, never as silence.
//
// What bytes. Files in Config.Dir; the formats stand in meta.go, mark.go, record.go,
// last.go and keys.go, and in the packages journal and segment:
//
//	meta       life, boot and clean mark of the log
//	behind     the mark
//	journal/   parts of the journal
//	segments/  bbolt files
//
// What it refuses: keys over 512 bytes or with a zero byte, more waiting events than
// its bounds (ErrBusy), durable events that it cannot sync (ErrDurableUnavailable).
// It does not look into payloads.
//
// Tests run at a size for every day; HOLDFAST_SOAK=1 runs crash images, kills, bit
// flips and the property test at full size.
package persist
