package bench

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// board is the memory that all processes of a run share: where the scenario
// stands, how far each loop is, and what has been published. Every field is atomic.
//
//	| head | done, a word a step | slot, 128 bytes a loop | started, answered: a word a channel each |
type board struct {
	head     *boardHead
	done     []atomic.Uint32 // loops that have done their part, by step
	slots    []slot
	started  []atomic.Uint32 // by channel: number of the last message that was sent; empty: nothing is published
	answered []atomic.Uint32 // by channel: all publishes up to it were answered, or have failed
}

type boardHead struct {
	stop   atomic.Uint32 // not 0: every loop ends with what it has
	step   atomic.Uint32 // the step under way, from 0
	failed atomic.Uint32 // entries of failures, also those that found no room
	// failures are publishes that were not answered 200.
	failures [maxFailures]struct{ channel, number atomic.Uint32 }
}

// maxFailures bounds the failed publishes whose events are not taken for lost.
const maxFailures = 4096

// slot is what one loop tells of itself, some times a second.
type slot struct {
	connected atomic.Uint64
	succeeded atomic.Uint64 // subscribed ones, ever
	failed    atomic.Uint64
	received  atomic.Uint64
	p99       atomic.Uint64 // µs, of the last second's deliveries, or subscriptions if there was none
	_         [88]byte      // its own cache lines
}

// boardShape is what a board has room for.
type boardShape struct{ steps, loops, channels int }

// offsets are where the parts begin, each on a multiple of eight, and the whole size.
func (s boardShape) offsets() (done, slots, channels, size int) {
	done = align(int(unsafe.Sizeof(boardHead{})))
	slots = align(done + 4*s.steps)
	channels = slots + s.loops*int(unsafe.Sizeof(slot{}))
	return done, slots, channels, channels + 2*4*s.channels
}

func align(n int) int { return (n + 7) &^ 7 }

// newBoard makes shared memory with a file for other processes, who map it with
// openBoard. The mapping lives as long as the process.
func newBoard(s boardShape) (b *board, file *os.File, err error) {
	fd, err := unix.MemfdCreate("holdfast-bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: memfd_create: %w", err)
	}
	file = os.NewFile(uintptr(fd), "board")
	_, _, _, size := s.offsets()
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("bench: size of the shared memory: %w", err)
	}
	if b, err = openBoard(fd, s); err != nil {
		file.Close()
		return nil, nil, err
	}
	return b, file, nil
}

func openBoard(fd int, s boardShape) (*board, error) {
	done, slots, channels, size := s.offsets()
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("bench: map the shared memory: %w", err)
	}
	b := &board{
		head:  (*boardHead)(unsafe.Pointer(&mem[0])),
		done:  words(mem[done:], s.steps),
		slots: unsafe.Slice((*slot)(unsafe.Pointer(&mem[slots])), s.loops),
	}
	if s.channels > 0 {
		b.started = words(mem[channels:], s.channels)
		b.answered = words(mem[channels+4*s.channels:], s.channels)
	}
	return b, nil
}

func words(mem []byte, n int) []atomic.Uint32 {
	return unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(&mem[0])), n)
}

func (b *board) stopped() bool { return b.head.stop.Load() != 0 }
func (b *board) stop()         { b.head.stop.Store(1) }

// startedOn is the number of the last message that was sent to a channel.
func (b *board) startedOn(channel int) uint32 {
	if channel >= len(b.started) {
		return 0
	}
	return b.started[channel].Load()
}

func (b *board) answeredOn(channel int) uint32 {
	if channel >= len(b.answered) {
		return 0
	}
	return b.answered[channel].Load()
}

// fail notes a publish that was not answered 200. Called by the publisher only.
func (b *board) fail(channel int, number uint32) {
	n := b.head.failed.Load()
	if n < maxFailures {
		b.head.failures[n].channel.Store(uint32(channel))
		b.head.failures[n].number.Store(number)
	}
	b.head.failed.Store(n + 1)
}

// failedOn counts the failed publishes of a channel above from, up to to.
func (b *board) failedOn(channel int, from, to uint32) (n uint32) {
	for i := range min(b.head.failed.Load(), maxFailures) {
		f := &b.head.failures[i]
		if number := f.number.Load(); int(f.channel.Load()) == channel && number > from && number <= to {
			n++
		}
	}
	return n
}

// sums is all loops' slots together.
type sums struct {
	connected, succeeded, failed, received uint64
	p99                                    uint64 // µs, of the loop where it is worst
}

func (b *board) sum() (s sums) {
	for i := range b.slots {
		one := &b.slots[i]
		s.connected += one.connected.Load()
		s.succeeded += one.succeeded.Load()
		s.failed += one.failed.Load()
		s.received += one.received.Load()
		s.p99 = max(s.p99, one.p99.Load())
	}
	return s
}
