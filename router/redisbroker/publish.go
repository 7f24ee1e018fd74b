package redisbroker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// Append implements router.LogWriter. It waits until Redis has answered for all of the
// batch. The events of one channel are one call of the script, so nothing comes between
// them.
func (b *Broker) Append(batch []router.LogAppend) error {
	groups := b.group(batch)
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	durable := false
	for i := range batch {
		durable = durable || batch[i].Durable || batch[i].Rule.Durable
	}
	if durable {
		if b.conf.Replicas == 0 {
			return router.ErrLogUnavailable
		}
		b.publishDurable(ctx, groups)
		return nil
	}
	b.publish(ctx, b.client, groups)
	return nil
}

// KeepsDurably implements router.Broker.
func (b *Broker) KeepsDurably() bool { return b.conf.Replicas > 0 }

// group is the events of one channel, in order.
type group struct {
	key    string
	events []*router.LogAppend
}

func (b *Broker) group(batch []router.LogAppend) []*group {
	if len(batch) == 1 {
		return []*group{{batch[0].Key, []*router.LogAppend{&batch[0]}}}
	}
	var groups []*group
	of := map[string]*group{}
	for i := range batch {
		g := of[batch[i].Key]
		if g == nil {
			g = &group{key: batch[i].Key}
			of[g.key] = g
			groups = append(groups, g)
		}
		g.events = append(g.events, &batch[i])
	}
	return groups
}

// publish runs the script for each group and tells the events what became of them.
func (b *Broker) publish(ctx context.Context, client rueidis.CoreClient, groups []*group) {
	calls := make([]call, len(groups))
	for i, g := range groups {
		calls[i] = b.publishCall(g)
	}
	began := time.Now()
	for i, r := range b.eval(ctx, client, publishScript, calls) {
		groups[i].done(b, r)
	}
	b.stats.publishSeconds.Observe(time.Since(began).Seconds())
}

// publishCall is the script's keys and arguments (publish.lua).
func (b *Broker) publishCall(g *group) call {
	first := g.events[0]
	name := b.keys.of(g.key)
	c := call{
		keys: make([]string, 0, 3+len(g.events)),
		args: make([]string, 0, 10+len(g.events)),
	}
	c.keys = append(c.keys, name+suffixHead, name+suffixStream, name+suffixCache)
	digits, cache := make([]byte, 0, 64), time.Duration(0)
	for _, e := range g.events {
		digit, key := byte('0'), name+suffixOnce // none, but each has its place
		if e.Cache > 0 {
			digit, cache = digit+1, e.Cache
		}
		if e.IdempotencyKey != nil {
			sum := sha256.Sum256(e.IdempotencyKey)
			digit, key = digit+2, key+hex.EncodeToString(sum[:])
		}
		digits, c.keys = append(digits, digit), append(c.keys, key)
	}
	c.args = append(c.args, newEpoch(), strconv.Itoa(first.Rule.Events), strconv.FormatInt(first.Rule.Bytes, 10), ms(first.Rule.Age), ms(max(b.conf.HeadAge, first.Rule.Age)),
		ms(cache), ms(b.conf.IdempotencyAge), b.publishCommand(), name, string(digits))
	now := time.Now().UnixMilli()
	for _, e := range g.events {
		text := router.MessageStart(e.Item.AppendPayload(nil, "", 0))
		what := kindEvent
		if e.Cache > 0 {
			what = kindLastEvent
		}
		sealed := b.seal.append(make([]byte, 0, envelopeFixed+maxOrigin+len(text)), g.key, &envelope{
			kind: what, timeMS: now, node: b.node, origin: e.Origin, text: text,
		})
		c.args = append(c.args, string(sealed))
	}
	return c
}

func (b *Broker) publishCommand() string {
	if b.address.Topology == redisurl.Cluster {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// errAnswer: the script answered something else than it does.
var errAnswer = errors.New("redisbroker: the publish script answered in another shape")

// done tells the events of a group what the script said.
func (g *group) done(b *Broker, r rueidis.RedisResult) {
	rows, err := r.ToArray()
	if err == nil && len(rows) != len(g.events) {
		err = errAnswer
	}
	for i, e := range g.events {
		res := router.LogResult{Logged: true}
		if err == nil {
			res, err = published(rows[i])
		}
		if err != nil {
			b.stats.failed.Add(1)
			res = router.LogResult{Err: unpublished(err)}
		}
		e.Item.Done(res)
	}
}

// refusals begin the errors of a server that has not run the script, or has refused its
// first write: it serves no data now, or takes none.
var refusals = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "NOREPLICAS", "NOAUTH", "OOM"}

// unpublished is why the script gave no place. Only where it surely was not run, and will
// not be, nothing was delivered: a command that was written to a connection may be read by
// a server that stands still now.
func unpublished(err error) error {
	var dial *net.OpError
	sure := errors.As(err, &dial) && dial.Op == "dial"
	if e, ok := rueidis.IsRedisErr(err); ok {
		sure = slices.ContainsFunc(refusals, func(code string) bool { return strings.HasPrefix(e.Error(), code) })
	}
	if sure {
		return unavailable(err)
	}
	return unanswered(err)
}

// unanswered is any failure behind which Redis may have published.
func unanswered(err error) error { return fmt.Errorf("%w: %w", router.ErrUnanswered, err) }

// published reads {duplicate, epoch, start, seq}.
func published(row rueidis.RedisMessage) (router.LogResult, error) {
	fields, err := row.ToArray()
	if err != nil || len(fields) != 4 {
		return router.LogResult{}, errors.Join(errAnswer, err)
	}
	duplicate, err := fields[0].AsInt64()
	if err != nil {
		return router.LogResult{}, err
	}
	at, err := readPlace(fields[1:])
	if err != nil {
		return router.LogResult{}, err
	}
	return router.LogResult{Epoch: at.Epoch, Start: at.Start, Seq: at.Seq, Logged: true, Duplicate: duplicate == 1}, nil
}

// publishDurable publishes on connections of its own, and asks after each how many
// replicas have it: WAIT is about what its own connection wrote. Redis publishes before
// the replicas have an event, so that it was handed out is no promise; the answer is.
func (b *Broker) publishDurable(ctx context.Context, groups []*group) {
	for _, g := range groups {
		fault := b.client.Dedicated(func(c rueidis.DedicatedClient) error {
			r := b.eval(ctx, c, publishScript, []call{b.publishCall(g)})[0]
			if r.Error() != nil {
				g.done(b, r)
				return nil
			}
			left := b.conf.PublishTimeout
			if deadline, ok := ctx.Deadline(); ok {
				left = time.Until(deadline)
			}
			have, err := c.Do(ctx, c.B().Wait().Numreplicas(int64(b.conf.Replicas)).Timeout(max(left.Milliseconds(), 1)).Build()).AsInt64()
			if err == nil && have < int64(b.conf.Replicas) {
				err = fmt.Errorf("%d of %d replicas have it", have, b.conf.Replicas)
			}
			if err != nil {
				g.fail(b, err)
				return nil
			}
			g.done(b, r)
			return nil
		})
		if fault != nil {
			g.fail(b, fault)
		}
	}
}

// fail tells all events of a group that it is not known what became of them.
func (g *group) fail(b *Broker, err error) {
	for _, e := range g.events {
		b.stats.failed.Add(1)
		e.Item.Done(router.LogResult{Err: unanswered(err)})
	}
}

// relayed is a client's event on its way to the other nodes.
type relayed struct{ channel, message string }

const (
	// relayQueue bounds the clients' events that wait for Redis.
	relayQueue = 4096
	// relayMost is how many go in one turn.
	relayMost = 256
)

// Relay implements router.Broker.
func (b *Broker) Relay(key string, text []byte) error {
	name := b.keys.of(key)
	slot := b.slotOf(name)
	b.mu.Lock()
	l := b.laneOfLocked(slot)
	up := l != nil && l.up
	b.mu.Unlock()
	if !up {
		b.stats.dropped.Add(1)
		return unavailable(errAway)
	}
	select {
	case b.relays <- relayed{name, unnumbered + b.sealed(key, kindClientEvent, text)}:
		return nil
	default:
		b.stats.dropped.Add(1)
		return router.ErrBusy
	}
}

// relay sends what Relay was given, in its order.
func (b *Broker) relay() {
	for {
		var batch []relayed
		select {
		case <-b.ctx.Done():
			return
		case r := <-b.relays:
			batch = append(batch, r)
		}
		for len(batch) < relayMost && len(b.relays) > 0 {
			batch = append(batch, <-b.relays)
		}
		commands := make([]rueidis.Completed, len(batch))
		for i, r := range batch {
			commands[i] = b.rawPublish(b.client, r.channel, r.message)
		}
		ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
		for _, r := range b.client.DoMulti(ctx, commands...) {
			if r.Error() != nil {
				b.stats.dropped.Add(1)
			}
		}
		cancel()
	}
}

func (b *Broker) rawPublish(client rueidis.CoreClient, channel, message string) rueidis.Completed {
	if b.address.Topology == redisurl.Cluster {
		return client.B().Spublish().Channel(channel).Message(message).Build()
	}
	return client.B().Publish().Channel(channel).Message(message).Build()
}
