package router

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Questions about a whole cluster. Each node answers for itself; what is said of all is
// the sum, and an error when a node that lives did not answer: half a list looks like a
// whole one.

// question is what nodes ask each other.
type question struct {
	what  questionKind
	app   string
	name  string // a channel, or what names begin with; askCounts: texts, who asks and the channels
	users bool   // presence channels: how many users
	// changed: who asks has another number of subscribers than before.
	changed bool
}

type questionKind byte

const (
	askChannel     questionKind = 1 + iota // one channel
	askChannels                            // those that are occupied
	askConnections                         // of an application
	askCounts                              // subscribers of some channels
	questionKinds
)

const (
	questionUsers byte = 1 << iota
	questionChanged
	questionFlags
)

// row is a part of an answer: a channel that has subscribers on the node.
type row struct {
	name    string
	members uint64 // subscriptions; of askConnections the connections
	users   uint64
}

var errQuestion = errors.New("router: a node asked or answered something that cannot be read")

func (q *question) append(dst []byte) []byte {
	flags := byte(0)
	if q.users {
		flags |= questionUsers
	}
	if q.changed {
		flags |= questionChanged
	}
	dst = append(dst, byte(q.what), flags)
	dst = appendText(dst, q.app)
	return appendText(dst, q.name)
}

func readQuestion(raw []byte) (q question, err error) {
	if len(raw) < 2 || raw[0] == 0 || questionKind(raw[0]) >= questionKinds || raw[1] >= questionFlags {
		return q, errQuestion
	}
	q.what, q.users, q.changed = questionKind(raw[0]), raw[1]&questionUsers != 0, raw[1]&questionChanged != 0
	if q.app, raw, err = cutText(raw[2:]); err != nil {
		return q, err
	}
	if q.name, raw, err = cutText(raw); err != nil || len(raw) > 0 {
		return q, errQuestion
	}
	return q, nil
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func cutText(raw []byte) (s string, rest []byte, err error) {
	n, size := binary.Uvarint(raw)
	if size <= 0 || n > uint64(len(raw)-size) {
		return "", nil, errQuestion
	}
	raw = raw[size:]
	return string(raw[:n]), raw[n:], nil
}

func appendRow(dst []byte, r row) []byte {
	dst = appendText(dst, r.name)
	dst = binary.AppendUvarint(dst, r.members)
	return binary.AppendUvarint(dst, r.users)
}

// readRows visits the rows of an answer.
func readRows(raw []byte, visit func(row)) error {
	for len(raw) > 0 {
		var r row
		var err error
		if r.name, raw, err = cutText(raw); err != nil {
			return err
		}
		for _, to := range []*uint64{&r.members, &r.users} {
			n, size := binary.Uvarint(raw)
			if size <= 0 {
				return errQuestion
			}
			*to, raw = n, raw[size:]
		}
		visit(r)
	}
	return nil
}

// Reply implements Receiver.
func (r *Router) Reply(raw []byte) []byte {
	q, err := readQuestion(raw)
	if err != nil {
		return nil
	}
	app, ok := r.AppByID(q.app)
	if !ok {
		return nil
	}
	want := InfoSubscriptionCount
	if q.users {
		want |= InfoUserCount
	}
	var dst []byte
	switch q.what {
	case askConnections:
		dst = appendRow(dst, row{members: uint64(r.Connections(app))})
	case askChannel:
		dir := app.dir.shard(q.name)
		dir.mu.Lock()
		info := infoLocked(dir.channels[q.name], want)
		dir.mu.Unlock()
		if info.Occupied {
			dst = appendRow(dst, row{q.name, uint64(info.SubscriptionCount), uint64(info.UserCount)})
		}
	case askCounts:
		dst = r.replyCounts(dst, app, q)
	case askChannels:
		for _, c := range r.Channels(app, q.name, want) {
			dst = appendRow(dst, row{c.Name, uint64(c.SubscriptionCount), uint64(c.UserCount)})
		}
	}
	return dst
}

// askAll asks every node, and adds up what they say, by name.
func (r *Router) askAll(q question) (map[string]row, error) {
	answers, err := r.broker.Ask(q.append(nil))
	if err != nil {
		return nil, err
	}
	sum := map[string]row{}
	for _, a := range answers {
		err := readRows(a, func(one row) {
			all := sum[one.name]
			all.name = one.name
			all.members += one.members
			all.users = max(all.users, one.users) // each node knows the users of all
			sum[one.name] = all
		})
		if err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func (a row) info(want Info) ChannelInfo {
	info := ChannelInfo{Occupied: a.members > 0}
	if want&InfoSubscriptionCount != 0 {
		info.SubscriptionCount = int(a.members)
	}
	if want&InfoUserCount != 0 {
		info.UserCount = int(a.users)
	}
	return info
}

// InfoEverywhere is Info for the whole cluster. ErrBrokerUnavailable: not all nodes
// answered. Not on a loop.
func (r *Router) InfoEverywhere(app *App, channel string, want Info) (ChannelInfo, error) {
	local := r.Info(app, channel, want)
	if r.broker == nil {
		return local, nil
	}
	rows, err := r.askAll(question{what: askChannel, app: app.id, name: channel, users: want&InfoUserCount != 0})
	if err != nil {
		return ChannelInfo{}, err
	}
	info := rows[channel].info(want)
	info.Cache = local.Cache
	return info, nil
}

// ChannelsEverywhere is Channels for the whole cluster, like InfoEverywhere.
func (r *Router) ChannelsEverywhere(app *App, prefix string, want Info) ([]NamedInfo, error) {
	if r.broker == nil {
		return r.Channels(app, prefix, want), nil
	}
	rows, err := r.askAll(question{what: askChannels, app: app.id, name: prefix, users: want&InfoUserCount != 0})
	if err != nil {
		return nil, err
	}
	list := make([]NamedInfo, 0, len(rows))
	for name, one := range rows {
		list = append(list, NamedInfo{name, one.info(want)})
	}
	slices.SortFunc(list, func(a, b NamedInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// UsersEverywhere is Users for the whole cluster. Not on a loop.
func (r *Router) UsersEverywhere(app *App, channel string) ([]string, error) {
	if r.broker == nil {
		return r.Users(app, channel), nil
	}
	key := logKey(app, channel)
	if _, err := r.broker.Load(key); err != nil {
		return nil, err
	}
	_, list := r.broker.Members(key)
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.UserID
	}
	return ids, nil
}

// ConnectionsEverywhere is Connections for the whole cluster, like InfoEverywhere.
func (r *Router) ConnectionsEverywhere(app *App) (int, error) {
	if r.broker == nil {
		return r.Connections(app), nil
	}
	rows, err := r.askAll(question{what: askConnections, app: app.id})
	return int(rows[""].members), err
}
