package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

const (
	// FrameLen is the room that a group passed to Append leaves at its front.
	FrameLen = 16
	// MaxGroup bounds one group, FrameLen included.
	MaxGroup = 64 << 20

	headerLen = 32
	version   = 1
	magic     = "hfjrnl"

	// maxPart bounds a part: frames speak of places in it with 32 bits.
	maxPart = 2 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// partName is the file name of a part.
func partName(part uint64) string { return fmt.Sprintf("journal-%016x", part) }

// parsePart is the number in a part's file name.
func parsePart(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, "journal-")
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && partName(n) == name
}

// appendHeader appends the first bytes of a part. previous is how many bytes of the
// part before it count.
func appendHeader(dst []byte, part uint64, previous int64) []byte {
	at := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint16(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, part)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(previous))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// decodeHeader reads them back.
func decodeHeader(b []byte) (part uint64, previous int64, err error) {
	if len(b) < headerLen || string(b[:len(magic)]) != magic {
		return 0, 0, errBadHeader
	}
	b = b[:headerLen]
	if crc32.Checksum(b[:headerLen-4], castagnoli) != binary.LittleEndian.Uint32(b[headerLen-4:]) {
		return 0, 0, errBadHeader
	}
	if binary.LittleEndian.Uint16(b[6:]) != version {
		return 0, 0, errBadHeader
	}
	previous = int64(binary.LittleEndian.Uint64(b[16:]))
	if previous < 0 {
		return 0, 0, errBadHeader
	}
	return binary.LittleEndian.Uint64(b[8:]), previous, nil
}

// putFrame fills the first FrameLen bytes of group for its place in a part.
func putFrame(group []byte, sum uint32, part uint64, at, synced int64) {
	binary.LittleEndian.PutUint32(group, uint32(len(group)-FrameLen))
	binary.LittleEndian.PutUint32(group[4:], sum)
	binary.LittleEndian.PutUint32(group[8:], uint32(synced))
	binary.LittleEndian.PutUint32(group[12:], frameSum(group, part, at))
}

// frameSum is the checksum of a frame header for its place.
func frameSum(h []byte, part uint64, at int64) uint32 {
	var b [28]byte
	copy(b[:12], h)
	binary.LittleEndian.PutUint64(b[12:], part)
	binary.LittleEndian.PutUint64(b[20:], uint64(at))
	return crc32.Checksum(b[:], castagnoli)
}

// groupSum is the checksum of a group's own bytes.
func groupSum(group []byte) uint32 { return crc32.Checksum(group[FrameLen:], castagnoli) }

// frameAt is the frame that begins at at: how long it is with its header, and how
// much was synced when it was written. ok is false when no frame begins there.
func frameAt(b []byte, part uint64, at int64) (length, synced int64, ok bool) {
	if int64(len(b))-at < FrameLen {
		return 0, 0, false
	}
	h := b[at : at+FrameLen]
	if frameSum(h, part, at) != binary.LittleEndian.Uint32(h[12:]) {
		return 0, 0, false
	}
	return int64(binary.LittleEndian.Uint32(h)) + FrameLen, int64(binary.LittleEndian.Uint32(h[8:])), true
}

// tail says how the end of a part is to be judged.
type tail int

const (
	// tailClosed: everything was synced. Whatever is no frame is damage.
	tailClosed tail = iota
	// tailWritten: everything had been written, by a process that died on a kernel
	// which still runs; only its last frame may have been cut short.
	tailWritten
	// tailLost: what was not synced may be there in part, in any order.
	tailLost
)

// scan calls visit with each group of a part, in order, and returns where the part's
// good bytes end. damage is non-nil when groups are missing that had been written
// for good. visit may keep the group: it points into b.
func scan(b []byte, part uint64, t tail, visit func(group []byte) error) (end int64, damage, err error) {
	at := int64(headerLen)
	for at < int64(len(b)) {
		length, _, ok := frameAt(b, part, at)
		if !ok || at+length > int64(len(b)) ||
			crc32.Checksum(b[at+FrameLen:at+length], castagnoli) != binary.LittleEndian.Uint32(b[at+4:]) {
			return at, judge(b, part, at, t), nil
		}
		if err := visit(b[at+FrameLen : at+length : at+length]); err != nil {
			return at, nil, err
		}
		at += length
	}
	return at, nil, nil
}

// judge tells a torn write from damage, at the first place that holds no whole frame.
func judge(b []byte, part uint64, at int64, t tail) error {
	rest := int64(len(b)) - at
	switch t {
	case tailWritten:
		// A process that is killed inside write(2) leaves a beginning of the frame.
		length, _, ok := frameAt(b, part, at)
		if rest < FrameLen || ok && length > rest {
			return nil
		}
		return fmt.Errorf("%w, at %d", errBadFrame, at)
	case tailLost:
		// Unsynced frames may follow a hole. A frame that was written when this place
		// had been synced proves that something was here.
		for next := at + 1; next+FrameLen <= int64(len(b)); next++ {
			if _, synced, ok := frameAt(b, part, next); ok && synced > at {
				return fmt.Errorf("%w, at %d", errBadFrame, at)
			}
		}
		return nil
	default:
		return fmt.Errorf("%w, at %d", errBadFrame, at)
	}
}
