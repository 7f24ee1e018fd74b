// Package journal is a sequence of files that groups of bytes are appended to, one
// write(2) a group, and read back from when the next process starts.
//
// What. A group is opaque bytes; it is there whole or not at all. The files are
// called parts and numbered upwards; groups are appended to the newest. A part is
// dropped once somebody else has made all of its groups safe.
//
// Who owns it. One Journal a directory. Append may be called by any goroutine and
// waits for a disk only while a part is being replaced; Sync, Rotate and Drop
// exclude each other and wait for the disk.
//
// What is promised. A group that Append accepted survives the death of the process;
// one that a later Sync covered survives a power cut. A failed write leaves the part
// as if nothing had been written. A failed sync seals the part: the kernel may have
// dropped what it could not write, and a second fdatasync would not say so. All
// groups since the last good sync are kept in memory, and are written to a new part
// and synced there before Sync reports success.
//
// What bytes. A part is a header and frames; integers are little-endian:
//
//	header = | "hfjrnl" | version u16 | part u64 | previous u64 | zero u32 | crc u32 |
//	frame  = | length u32 | sum u32 | synced u32 | crc u32 | group |
//
// previous is how many bytes of the part before this one count: what lies beyond
// was torn, or was written again here. sum is the CRC-32C of the group. synced is
// how many bytes of this part were on disk for sure when the frame was written. crc
// is the CRC-32C of all header bytes before it; a frame's also covers the part's
// number and the frame's own place, so a frame that lies elsewhere is no frame.
//
// What it refuses. Bytes that it did not write. At the end of the newest part they
// are a torn write, unless it is known that what was there had been written or
// synced; there and everywhere else they are damage: the groups before them are
// given out, the part is set aside as *.corrupt-TIME when it is dropped, and the
// caller is told, since groups are missing.
package journal
