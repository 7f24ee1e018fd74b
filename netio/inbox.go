package netio

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// command is one entry of a loop's inbox. ref holds a pointer type, so queueing
// allocates nothing.
type command struct {
	op  uint8
	arg uint64
	ref any
}

// newcomer is a socket that enters a loop.
type newcomer struct {
	fd       int
	remote   remoteAddr
	listener uint8
	settled  bool   // its address is not counted as half open any more
	head     []byte // nil: fresh from accept; else the upgrade head that came through the netpoll door
}

// inbox is how other goroutines reach a loop: queues that are swapped out whole,
// and an eventfd that is written only while the loop sleeps.
type inbox struct {
	// Immutable after construction.
	bound  int // soft bound of queued commands; Post refuses beyond
	wakeFD int // eventfd in the loop's epoll set

	// Atomic; any goroutine.
	sleeping atomic.Bool  // the loop is parked or about to be
	size     atomic.Int64 // queued commands; newcomers do not count
	pending  atomic.Bool  // something is queued

	mu        sync.Mutex
	commands  []command
	newcomers []newcomer
}

// post queues a command. It reports false, and queues nothing, when the inbox is
// over its bound and must is not set.
func (b *inbox) post(c command, must bool) bool {
	if !must && int(b.size.Load()) >= b.bound {
		return false
	}
	b.mu.Lock()
	b.commands = append(b.commands, c)
	b.mu.Unlock()
	b.size.Add(1)
	b.wake()
	return true
}

// enter queues a socket. quiet leaves a sleeping loop asleep: the socket's first
// event wakes it, or the next tick does.
func (b *inbox) enter(n newcomer, quiet bool) {
	b.mu.Lock()
	b.newcomers = append(b.newcomers, n)
	b.mu.Unlock()
	if quiet {
		b.pending.Store(true)
		return
	}
	b.wake()
}

func (b *inbox) wake() {
	b.pending.Store(true)
	if b.sleeping.Load() && b.sleeping.CompareAndSwap(true, false) {
		b.kick()
	}
}

// kick wakes the loop whether it sleeps or not. An eventfd write fails only when
// the counter is full, and then the loop is awake already.
func (b *inbox) kick() {
	one := [8]byte{1}
	_, _ = rawIO(unix.SYS_WRITE, b.wakeFD, one[:])
}

// take swaps the queues against the emptied slices of the last turn.
func (b *inbox) take(commands []command, newcomers []newcomer) ([]command, []newcomer) {
	if !b.pending.Load() {
		return commands[:0], newcomers[:0]
	}
	b.mu.Lock()
	b.pending.Store(false)
	commands, b.commands = b.commands, commands[:0]
	newcomers, b.newcomers = b.newcomers, newcomers[:0]
	b.mu.Unlock()
	b.size.Add(-int64(len(commands)))
	return commands, newcomers
}
