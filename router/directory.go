package router

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// dirShards is the number of locks of one application's directory.
const dirShards = 64

// directory finds the channels of one application by name.
//
// Lock order: a directory shard's lock, then a loop's inbox. The lock of users is
// never held together with it.
type directory struct {
	seed   maphash.Seed
	shards [dirShards]dirShard
}

// dirShard is the part of the directory behind one lock.
type dirShard struct {
	mu       sync.Mutex
	channels map[string]*channel // occupied channels; an entry leaves with its last member
	cache    cacheStore          // last events of cache channels, occupied or not

	// Atomic; written under mu, read by anyone.
	live [channelTypes]atomic.Int64 // channels by metric type
}

func newDirectory() directory { return directory{seed: maphash.MakeSeed()} }

// shard returns the part that is responsible for a channel name.
func (d *directory) shard(name string) *dirShard {
	return &d.shards[maphash.String(d.seed, name)%dirShards]
}

// shardBytes is shard for a borrowed name.
func (d *directory) shardBytes(name []byte) *dirShard {
	return &d.shards[maphash.Bytes(d.seed, name)%dirShards]
}

// createLocked enters a channel that has no entry yet; name is kept.
func (d *dirShard) createLocked(app *App, name string, kind pusher.Kind) *channel {
	ch := &channel{name: name, app: app, kind: kind}
	if kind&pusher.Presence != 0 {
		ch.extraLocked().presence = newPresence()
	}
	if d.channels == nil {
		d.channels = map[string]*channel{}
	}
	d.channels[name] = ch
	d.live[typeOf(kind)].Add(1)
	return ch
}

// removeLocked forgets a channel without members.
func (d *dirShard) removeLocked(ch *channel) {
	delete(d.channels, ch.name)
	d.live[typeOf(ch.kind)].Add(-1)
}

// postLocked hands an encoded event to every loop with members. The lock makes
// its place among the channel's other commands the same on all of them.
func (r *Router) postLocked(ch *channel, d *delivery) {
	list := ch.loopsLocked()
	d.left.Store(int32(len(list)))
	for _, l := range list {
		r.shards[l.loop].backlog.add(d)
		r.loops.MustPost(int(l.loop), opDeliver, uint64(l.local), d)
	}
}
