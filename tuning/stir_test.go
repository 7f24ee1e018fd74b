package tuning

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestStirFillsTheHoles: the pages that a collection gave free are all allocated again,
// between those that are in use, and the heap does not grow for it.
func TestStirFillsTheHoles(t *testing.T) {
	const block, blocks = 128 << 10, 512
	burst := make([][]byte, blocks)
	for i := range burst {
		burst[i] = make([]byte, block)
	}
	for i := range burst {
		if i%16 != 0 {
			burst[i] = nil
		}
	}
	runtime.GC()
	debug.FreeOSMemory()
	room := readRoom()
	holes := room.free + room.released
	if holes < block*blocks/2 {
		t.Fatalf("%d bytes are free, after a burst of %d", holes, block*blocks)
	}
	pieces := fill(room)
	after := readRoom()
	t.Logf("%d MiB of holes, %d pieces, %d MiB left", holes>>20, len(pieces), (after.free+after.released)>>20)
	if grown := after.total - room.total; grown > 16<<20 || after.free+after.released > holes/4+grown {
		t.Errorf("%d bytes of %d are left, and the heap has grown by %d", after.free+after.released, holes, grown)
	}
	runtime.KeepAlive(pieces)
	runtime.KeepAlive(burst)
	pieces, burst = nil, nil
	runtime.GC()
	debug.FreeOSMemory()
	if end := readRoom(); end.total-end.released > room.total-room.released {
		t.Errorf("%d bytes are held afterwards, %d before", end.total-end.released, room.total-room.released)
	}
}

func TestStirLeavesALimitAlone(t *testing.T) {
	garbage := make([]byte, 32<<20)
	for i := 0; i < len(garbage); i += 4096 {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	garbage = nil
	runtime.GC()
	t.Cleanup(debug.FreeOSMemory)
	room := readRoom()
	if room.free+room.released < 16<<20 || room.free < stirLeast {
		t.Fatalf("%+v after a burst", room)
	}
	former := debug.SetMemoryLimit(int64(room.total-room.released) + 1<<20)
	defer debug.SetMemoryLimit(former)
	if stir() {
		t.Errorf("the free space, %d bytes, was allocated beyond the limit", room.free+room.released)
	}
}
