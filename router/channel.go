package router

import (
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// channel is one occupied channel of an application: which loops have members of
// it. It exists from the first subscription to the last; what must outlive that
// (the cached event) lives in the directory. With a 32-byte name it is 80 bytes
// beside the name itself.
type channel struct {
	// Immutable after creation.
	name string
	app  *App
	kind pusher.Kind

	// Guarded by the lock of the channel's directory shard.
	used    uint8          // 1: first is in use. 0 with spill set: see loops
	at      Position       // the last event that was posted; Epoch "" = the channel has no history
	members uint32         // live subscriptions on all loops, pending joins included
	first   [1]loopMembers // the only loop, while there is only one
	spill   []loopMembers  // all loops, from the second on
	extra   *channelExtra  // nil unless presence or counted
}

// loopMembers says that a loop has members of the channel. It is made by the
// first join on that loop and removed by the last leave; a later join makes a new
// one with a new local record, so a command names one incarnation of the local
// record and never a later channel that reuses its number.
type loopMembers struct {
	local uint32 // the loop's local record
	count uint32 // live subscriptions there, pending joins included; > 0
	loop  uint16
}

// channelExtra is what only some channels need.
type channelExtra struct {
	presence *presence // presence channels
	count    counted   // applications with subscription_count
}

// loopsLocked lists the loops that have members.
func (c *channel) loopsLocked() []loopMembers {
	if c.spill != nil {
		return c.spill
	}
	return c.first[:c.used]
}

// onLoopLocked finds the entry of one loop; nil when it has no members.
func (c *channel) onLoopLocked(loop int) *loopMembers {
	list := c.loopsLocked()
	for i := range list {
		if int(list[i].loop) == loop {
			return &list[i]
		}
	}
	return nil
}

// addLoopLocked enters a loop that has no entry yet.
func (c *channel) addLoopLocked(loop int, local uint32) *loopMembers {
	entry := loopMembers{local: local, loop: uint16(loop)}
	switch {
	case c.spill != nil:
		c.spill = append(c.spill, entry)
		return &c.spill[len(c.spill)-1]
	case c.used == 0:
		c.first[0], c.used = entry, 1
		return &c.first[0]
	default:
		c.spill = append(make([]loopMembers, 0, 2), c.first[0], entry)
		return &c.spill[1]
	}
}

// dropLoopLocked removes the entry of a loop that has no members left.
func (c *channel) dropLoopLocked(loop int) {
	if c.spill == nil {
		c.used = 0
		return
	}
	for i := range c.spill {
		if int(c.spill[i].loop) == loop {
			c.spill[i] = c.spill[len(c.spill)-1]
			c.spill = c.spill[:len(c.spill)-1]
			break
		}
	}
	if len(c.spill) == 0 {
		c.spill, c.used = nil, 0
	}
}

// extraLocked returns the rare part, made on demand.
func (c *channel) extraLocked() *channelExtra {
	if c.extra == nil {
		c.extra = &channelExtra{}
	}
	return c.extra
}

// presenceLocked is the channel's member list; nil unless it is a presence channel.
func (c *channel) presenceLocked() *presence {
	if c.extra == nil {
		return nil
	}
	return c.extra.presence
}

// checkLocked verifies in invariants builds that the counts agree.
func (c *channel) checkLocked() {
	if !invariant.On {
		return
	}
	sum := uint32(0)
	for _, l := range c.loopsLocked() {
		invariant.Check(l.count > 0, "a loop without members is listed in a channel")
		sum += l.count
	}
	invariant.Check(sum == c.members, "a channel's member count is not the sum over its loops")
}
