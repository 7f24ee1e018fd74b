package router

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// Info is a set of channel attributes that a query asks for.
type Info uint8

const (
	InfoUserCount         Info = 1 << iota // distinct users; presence channels
	InfoSubscriptionCount                  // live subscriptions
	InfoCache                              // last event; cache channels
)

// ChannelInfo answers a query for one channel. Only Occupied, and what was asked
// for and fits the channel's kind, is filled.
type ChannelInfo struct {
	Occupied          bool
	UserCount         int
	SubscriptionCount int
	Cache             *CacheInfo // nil: nothing is cached
}

// CacheInfo is the last event of a cache channel.
type CacheInfo struct {
	Data string
	TTL  time.Duration // until it is forgotten; > 0
}

// NamedInfo is one row of Channels.
type NamedInfo struct {
	Name string
	ChannelInfo
}

// Info describes one channel, occupied or not. It may read the disk. Not on a loop.
func (r *Router) Info(app *App, channel string, want Info) ChannelInfo {
	dir := app.dir.shard(channel)
	now := r.clock()
	cached := want&InfoCache != 0 && pusher.KindOf(channel)&pusher.Cache != 0
	dir.mu.Lock()
	info := infoLocked(dir.channels[channel], want)
	if cached {
		if e := dir.cache.getLocked(now, channel); e != nil {
			info.Cache = &CacheInfo{Data: e.data, TTL: time.Duration(e.expires - now)}
		}
	}
	dir.mu.Unlock()
	if cached && info.Cache == nil && r.log != nil {
		info.Cache = r.loggedCache(app, channel)
	}
	return info
}

// loggedCache is a cache channel's last event from before the start. It may read
// the disk.
func (r *Router) loggedCache(app *App, channel string) *CacheInfo {
	key := logKey(app, channel)
	if _, err := r.log.Load(key); err != nil {
		return nil
	}
	e, left, ok := r.log.Last(key)
	if !ok {
		return nil
	}
	stored, ok := readStored(e)
	if !ok {
		return nil
	}
	return &CacheInfo{Data: stored.Data, TTL: left}
}

// infoLocked describes an occupied channel; ch may be nil.
func infoLocked(ch *channel, want Info) (info ChannelInfo) {
	if ch == nil {
		return info
	}
	info.Occupied = true
	if p := ch.presenceLocked(); p != nil && want&InfoUserCount != 0 {
		info.UserCount = len(p.list)
	}
	if want&InfoSubscriptionCount != 0 {
		info.SubscriptionCount = int(ch.members)
	}
	return info
}

// Channels lists the occupied channels whose names begin with prefix, sorted. The
// list is not one moment's: the directory is read a part at a time.
func (r *Router) Channels(app *App, prefix string, want Info) []NamedInfo {
	var rows []NamedInfo
	for i := range app.dir.shards {
		rows = app.dir.shards[i].list(rows, prefix, want)
	}
	slices.SortFunc(rows, func(a, b NamedInfo) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

func (d *dirShard) list(rows []NamedInfo, prefix string, want Info) []NamedInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, ch := range d.channels {
		if strings.HasPrefix(name, prefix) {
			rows = append(rows, NamedInfo{name, infoLocked(ch, want)})
		}
	}
	return rows
}

// Users lists the distinct users of a presence channel, in no particular order.
func (r *Router) Users(app *App, channel string) []string {
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil || ch.presenceLocked() == nil {
		return nil
	}
	p := ch.presenceLocked()
	ids := make([]string, len(p.list))
	for i, u := range p.list {
		ids[i] = u.member.UserID
	}
	return ids
}
