package redisbroker

import (
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// addLaneLocked begins a lane.
func (b *Broker) addLaneLocked(host string, client rueidis.Client) {
	name := b.keys.prefix + "canary:" + strconv.FormatUint(b.node, 16)
	if host != "" {
		name += ":" + escape(host)
	}
	l := &lane{
		b: b, host: host, via: client, canary: name, wake: make(chan struct{}, 1), readWake: make(chan struct{}, 1), gone: make(chan struct{}),
		turn: b.turnLocked(), fell: make(chan struct{}), late: len(b.follows) > 0,
	}
	b.lanes[host] = l
	b.run(l.live)
	b.run(l.readers)
}

// dropLaneLocked ends a lane. Its channels are to look for another.
func (b *Broker) dropLaneLocked(l *lane) {
	delete(b.lanes, l.host)
	l.ended = true
	l.fallLocked()
	close(l.gone)
}

// turnLocked is a turn that no lane had.
func (b *Broker) turnLocked() uint32 {
	b.turns++
	return b.turns
}

// homeLocked gives a follow to the lane of its server.
func (b *Broker) homeLocked(f *follow) {
	f.state = stateWanted
	if f.lane = b.laneOfLocked(f.slot); f.lane == nil {
		b.adrift.push(f)
		return
	}
	f.lane.wantLocked(f)
}

// adriftLocked takes a follow from its lane, whose server does not serve it any more.
func (b *Broker) adriftLocked(f *follow) {
	f.lane, f.state = nil, stateWanted
	b.adrift.push(f)
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// laneOfLocked is the lane of a slot; nil while its server is not known.
func (b *Broker) laneOfLocked(slot uint16) *lane {
	if b.address.Topology != redisurl.Cluster {
		return b.lanes[""]
	}
	if len(b.slots) == 0 {
		return nil
	}
	return b.lanes[b.slots[slot]]
}

// unhome takes channels from a lane whose server refused them.
func (b *Broker) unhome(l *lane, names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if f := b.follows[name]; f != nil && f.lane == l {
			b.adriftLocked(f)
		}
	}
}

// slotOf is the slot of a pub/sub channel; all are in one where there is no Cluster.
func (b *Broker) slotOf(name string) uint16 {
	if b.address.Topology != redisurl.Cluster {
		return 0
	}
	return slotOf(name)
}

// reroute takes over who serves what: it adds lanes for new masters, ends those of former
// ones, and gives channels to their new lane. Only routes calls it.
func (b *Broker) reroute(slots []string, nodes map[string]rueidis.Client) {
	masters := map[string]bool{}
	for _, host := range slots {
		masters[host] = host != ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	changed := !slices.Equal(slots, b.slots)
	b.slots = slots
	for host, l := range b.lanes {
		if !masters[host] {
			b.dropLaneLocked(l)
		}
	}
	for host, is := range masters {
		if client := nodes[host]; is && client != nil && b.lanes[host] == nil {
			b.addLaneLocked(host, client)
		}
	}
	s := scan{b: b}
	for f := range b.adrift.drain() {
		if f.lane == nil && b.follows[f.name] == f {
			b.homeLocked(f)
		}
		s.nextLocked()
	}
	if !changed {
		return
	}
	for _, f := range b.follows {
		if b.laneOfLocked(f.slot) != f.lane {
			if f.lane != nil {
				f.lane.leaveLocked(f)
			}
			b.homeLocked(f)
		}
		s.nextLocked()
	}
}
