package router

import (
	"fmt"

	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

// membership is one subscription of one connection: 12 bytes, linked per
// connection. With the 4 bytes of its place in the channel's member array it is
// all that an idle subscription costs.
type membership struct {
	next  uint32 // next of the same connection; 0 = last
	local uint32 // the loop's record of the channel
	place uint32 // index in the channel's member array, or one of the two below
}

const (
	// placePending: the join marker is still on its way through the inbox.
	placePending = ^uint32(0)
	// placeCancelled: it left before its marker came. The record is unlinked, but
	// its number may not be used again before the marker has been seen.
	placeCancelled = ^uint32(0) - 1
)

// localChannel is what one loop keeps for a channel it has members of, 24 bytes.
type localChannel struct {
	walked uint64    // the last numbered event whose walk has ended here
	count  uint32    // members in the array
	store  [1]uint32 // classOne: the member's slot, walked like any array; else a number in the class's pool
	queue  uint32    // index in Shard.queues while commands wait or a walk runs; 0 = none
	class  sizeClass
	_      [3]byte
}

// sizeClass says how a member array is stored. An array moves up when it is full
// and down when it would fit the smaller class twice, so that a member who comes
// and goes at a border does not copy each time.
type sizeClass uint8

const (
	classOne    sizeClass = iota // the slot itself
	classSmall                   // one block of 8
	classMedium                  // one block of 64
	classLarge                   // a list of blocks of 1,024
)

const (
	smallSlots  = 8
	mediumSlots = 64
	largeSlots  = 1024
)

// memberArrays stores the member arrays of one loop's channels: slots of
// connections in blocks outside the Go heap, never doubled by append.
type memberArrays struct {
	small  *offheap.Pool[[smallSlots]uint32]
	medium *offheap.Pool[[mediumSlots]uint32]
	large  *offheap.Pool[[largeSlots]uint32]
	lists  [][]uint32 // blocks of the classLarge arrays; index 0 is not used
	free   []uint32   // unused indexes of lists
}

// newMemberArrays reserves room for arrays of max members in total.
func newMemberArrays(max int) (*memberArrays, error) {
	a := &memberArrays{lists: make([][]uint32, 1)}
	var err error
	// The worst case of each class: every array is as empty as its class allows.
	if a.small, err = offheap.NewPool[[smallSlots]uint32](max/2 + 1); err != nil {
		return nil, err
	}
	if a.medium, err = offheap.NewPool[[mediumSlots]uint32](max/(smallSlots/2) + 1); err != nil {
		return nil, err
	}
	if a.large, err = offheap.NewPool[[largeSlots]uint32](max/(mediumSlots/2) + 1); err != nil {
		return nil, err
	}
	return a, nil
}

// span returns the members from index i to the end of their block, at least one.
// It is valid until the array changes.
func (a *memberArrays) span(l *localChannel, i uint32) []uint32 {
	switch l.class {
	case classOne:
		return l.store[i:l.count]
	case classSmall:
		return a.small.At(l.store[0])[i:l.count]
	case classMedium:
		return a.medium.At(l.store[0])[i:l.count]
	default:
		block := i / largeSlots
		end := min(l.count-block*largeSlots, largeSlots)
		return a.large.At(a.lists[l.store[0]][block])[i%largeSlots : end]
	}
}

// at points to the member with index i; valid until the array changes.
func (a *memberArrays) at(l *localChannel, i uint32) *uint32 { return &a.span(l, i)[0] }

// push appends a member and returns its index.
func (a *memberArrays) push(l *localChannel, slot uint32) uint32 {
	i := l.count
	switch {
	case l.class == classOne && i == 1:
		a.move(l, classSmall)
	case l.class == classSmall && i == smallSlots:
		a.move(l, classMedium)
	case l.class == classMedium && i == mediumSlots:
		a.move(l, classLarge)
	case l.class == classLarge && i%largeSlots == 0 && int(i/largeSlots) == len(a.lists[l.store[0]]):
		a.lists[l.store[0]] = append(a.lists[l.store[0]], must(a.large.Alloc()))
	}
	l.count++
	*a.at(l, i) = slot
	return i
}

// pop removes the last member.
func (a *memberArrays) pop(l *localChannel) {
	l.count--
	switch {
	case l.count == 0:
		a.release(l)
	case l.class == classSmall && l.count == 1:
		a.move(l, classOne)
	case l.class == classMedium && l.count <= smallSlots/2:
		a.move(l, classSmall)
	case l.class == classLarge && l.count <= mediumSlots/2:
		a.move(l, classMedium)
	case l.class == classLarge && l.count%largeSlots == 0:
		list := a.lists[l.store[0]]
		last := len(list) - 1
		a.large.Free(list[last])
		a.lists[l.store[0]] = list[:last]
	}
}

// move changes the class. All members fit one block of either class.
func (a *memberArrays) move(l *localChannel, to sizeClass) {
	var kept [mediumSlots]uint32
	n := copy(kept[:], a.span(l, 0))
	count := l.count
	a.release(l)
	l.class, l.count = to, count
	switch to {
	case classSmall:
		l.store[0] = must(a.small.Alloc())
	case classMedium:
		l.store[0] = must(a.medium.Alloc())
	case classLarge:
		l.store[0] = a.newList()
		a.lists[l.store[0]] = append(a.lists[l.store[0]], must(a.large.Alloc()))
	}
	copy(a.span(l, 0), kept[:n])
}

// release frees the blocks; the array is empty and of classOne afterwards.
func (a *memberArrays) release(l *localChannel) {
	switch l.class {
	case classSmall:
		a.small.Free(l.store[0])
	case classMedium:
		a.medium.Free(l.store[0])
	case classLarge:
		for _, block := range a.lists[l.store[0]] {
			a.large.Free(block)
		}
		a.lists[l.store[0]] = nil
		a.free = append(a.free, l.store[0])
	}
	l.class, l.store[0], l.count = classOne, 0, 0
}

func (a *memberArrays) newList() uint32 {
	if n := len(a.free); n > 0 {
		i := a.free[n-1]
		a.free = a.free[:n-1]
		return i
	}
	a.lists = append(a.lists, nil)
	return uint32(len(a.lists) - 1)
}

// must takes the number of a block. The pools are sized for the worst case of as
// many members as there may be memberships, so running out is a program error.
func must[T any](i uint32, _ *T) uint32 {
	if i == 0 {
		panic(fmt.Sprintf("router: member blocks of %T ran out", *new(T)))
	}
	return i
}
