// Package segment keeps the events of the replay log on disk, sorted by channel
// and sequence number, and the blocks that were read last in memory.
//
// What it is. A directory of bbolt files. Records go into segment files, one row
// of files for each retention class; a file takes records for a while, is sealed
// and is unlinked as a whole when its newest record is too old. heads.db keeps
// what must outlive the records: the head of each channel, idempotency keys and
// a few named values of the caller. On top is a cache of Blocks: runs of up to 64
// events whose payloads lie side by side.
//
// Who owns what. Commit, Retain and Close take the writer's lock; everything else
// may be called from any goroutine. Hot and MayHaveHead touch memory only and
// never wait. Readers see a segment through short transactions whose bytes are
// copied out; a file is closed and unlinked after its last reader has left.
//
// Which bytes. The formats are drawn in record.go, head.go, key.go and footer.go
// and pinned by the golden files in testdata. Every value carries its own CRC-32C,
// because bbolt guards none but its two meta pages. Files:
//
//	seg-CLASS-NUMBER.db   records of one class; NUMBER (16 hex digits) grows over all classes
//	heads.db              heads, keys, named values
//	*.new                 a file in creation; removed at the next Open
//	*.corrupt-TIME        a damaged file that was set aside; never touched again
//
// What it promises. When Commit returns nil everything in the batch is on disk.
// When it returns an error the batch may be there in part, and is repeated as it
// is: puts are idempotent. A file whose write or sync failed is never written
// again. Damage is found by checksums, by a walk over the pages of files that
// were not closed, and by catching bbolt's panics and the memory faults of its
// mapping; the file is set aside and the store goes on without it, so that what
// is missing shows as a gap to the caller, who counts sequence numbers. A file that
// cannot be opened now is not damaged: the store does without it, answers
// ErrUnavailable where it might have known, and tries again.
//
// What it refuses: to read a clock (Config.Now), to interpret payloads, to judge
// what a rule keeps, to hold a transaction open while the caller works.
//
// Tests run at a size for CI; with HOLDFAST_SOAK=1 they run at full size: a
// million records, 10,000 crash images, 1,000 damaged files.
package segment
