package tuning

import (
	"runtime"
	"runtime/metrics"
	"strings"
)

const (
	// stirLeast is how much free memory must have stayed resident, and stirMost how much
	// address space is allocated to get at it. Unit: bytes.
	stirLeast = 256 << 10
	stirMost  = 1 << 30
)

// stirPieces are what the free space is filled with, the large ones first. Objects of
// less than 32 KiB would share their pages.
var stirPieces = [...]int{1 << 20, 256 << 10, 64 << 10}

// stir makes the runtime see free pages again that FreeOSMemory passes over, and
// reports whether there may be any. The background half of Go's scavenger marks a chunk
// of 4 MiB as done when it has searched it from where it stopped last downwards; what
// was free above stays resident until something in the chunk is freed again
// (runtime.scavengeIndex). So the free space is allocated, which touches none of it, and
// left to the next collection.
func stir() bool {
	room := readRoom()
	if whole := room.free + room.released; room.free < stirLeast || whole > stirMost || whole > room.allowed {
		return false
	}
	fill(room)
	return true
}

// fill allocates what is free in the heap, in pieces that their caller lets go.
func fill(room heapRoom) []*strings.Builder {
	total, left := room.total, int(room.free+room.released)
	var pieces []*strings.Builder
	for _, size := range stirPieces {
		for left >= size {
			// Grow neither clears nor writes; make would write where the kernel has not.
			var piece strings.Builder
			piece.Grow(size)
			pieces = append(pieces, &piece)
			left -= size
			if now := readRoom(); now.total > total {
				total = now.total // no hole is as large as that any more
				break
			}
		}
	}
	runtime.KeepAlive(pieces)
	return pieces
}

// heapRoom is what the heap could hold without a byte more. Unit: bytes.
type heapRoom struct {
	free, released uint64 // resident; given back
	total          uint64 // that the runtime has mapped
	allowed        uint64 // until its limit
}

func readRoom() heapRoom {
	samples := [...]metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(samples[:])
	r := heapRoom{free: samples[0].Value.Uint64(), released: samples[1].Value.Uint64(), total: samples[2].Value.Uint64()}
	if limit, held := samples[3].Value.Uint64(), r.total-r.released; limit > held {
		r.allowed = limit - held
	}
	return r
}
