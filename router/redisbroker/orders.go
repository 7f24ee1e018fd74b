package redisbroker

import (
	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// order has the server end or add some subscriptions; there may be more to do. Those that
// end go first: a channel may be followed anew before its end was said.
func (l *lane) order(conn rueidis.DedicatedClient) error {
	leaving, names, more := l.orders()
	if more {
		l.rouse()
	}
	switch {
	case len(leaving) > 0:
		return l.unsubscribe(conn, leaving...)
	case len(names) > 0:
		return l.subscribe(conn, names...)
	default:
		return nil
	}
}

// orders takes what is next.
func (l *lane) orders() (leaving, names []string, more bool) {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if leaving = l.leaving.take(subscribeMost); len(leaving) > 0 {
		return leaving, nil, true
	}
	list := l.wanted.take()
	for _, f := range list {
		if f.lane == l && f.stateLocked() == stateWanted && b.follows[f.name] == f {
			f.becomeLocked(stateAsked)
			names = append(names, f.name)
		}
	}
	return nil, names, len(list) > 0
}

func (l *lane) sharded() bool { return l.b.address.Topology == redisurl.Cluster }

func (l *lane) subscribe(conn rueidis.DedicatedClient, names ...string) error {
	if !l.sharded() {
		return conn.Do(l.b.ctx, conn.B().Subscribe().Channel(names...).Build()).Error()
	}
	return l.bySlot(conn, names, func(some []string) rueidis.Completed {
		return conn.B().Ssubscribe().Channel(some...).Build()
	})
}

func (l *lane) unsubscribe(conn rueidis.DedicatedClient, names ...string) error {
	if !l.sharded() {
		return conn.Do(l.b.ctx, conn.B().Unsubscribe().Channel(names...).Build()).Error()
	}
	return l.bySlot(conn, names, func(some []string) rueidis.Completed {
		return conn.B().Sunsubscribe().Channel(some...).Build()
	})
}

// bySlot divides names: one command of a Cluster names channels of one slot only. Channels
// of a slot that the server no longer has look for their new lane; the others go on.
func (l *lane) bySlot(conn rueidis.DedicatedClient, names []string, command func([]string) rueidis.Completed) error {
	groups := map[uint16][]string{}
	for _, name := range names {
		slot := slotOf(name)
		groups[slot] = append(groups[slot], name)
	}
	var order [][]string
	var commands []rueidis.Completed
	for _, some := range groups {
		order = append(order, some)
		commands = append(commands, command(some))
	}
	for i, r := range conn.DoMulti(l.b.ctx, commands...) {
		err := r.Error()
		if _, refused := rueidis.IsRedisErr(err); refused {
			l.b.unhome(l, order[i])
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
