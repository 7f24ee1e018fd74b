package api

import (
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// headerDurable marks the answer to a durable publish: it is on the disk.
const headerDurable = "Holdfast-Durable"

// checkDurable refuses to store what cannot be stored.
func (s *Server) checkDurable(given members) *refusal {
	if given&hasDurable != 0 && s.router.Keeps() && !s.router.KeepsDurably() {
		return refuse(400, codeBadEvent, "durable events cannot be taken: redis.durable is empty; set it to \"wait:N\", N being the replicas that must have an event")
	}
	if given&hasDurable == 0 || s.router.Keeps() {
		return nil
	}
	r := refuse(503, codeLogUnavailable, "durable events cannot be taken: this server keeps no replay log to store them in; set enabled = true under [replay]; nothing was published")
	r.retryAfter = retrySoon
	return r
}

// check checks one event of POST events.
func (sub *submission) check(l *Limits) *refusal {
	if r := sub.checkMembers("channel or channels"); r != nil {
		return r
	}
	if sub.given&hasChannel != 0 && sub.given&hasChannels != 0 {
		return refuse(400, codeBadChannel, "both channel and channels are given: use one of them")
	}
	if sub.named == 0 {
		return refuse(400, codeMissingField, "channels is empty: name at least one channel")
	}
	if r := sub.checkValues(l); r != nil {
		return r
	}
	if sub.named > l.EventChannels {
		return overLimit(400, codeTooManyChannels, "the event names", int64(sub.named), "channels", int64(l.EventChannels), "limits.event_channels")
	}
	sub.event.Channels = distinct(sub.event.Channels)
	return nil
}

// check checks a whole batch, step by step over all its events. asked tells
// whether any of them wants attributes.
func (b *batch) check(l *Limits) (asked bool, r *refusal) {
	if b.given&hasBatch == 0 {
		return false, refuse(400, codeMissingField, "batch is missing: it is the array of events")
	}
	for i, sub := range b.events {
		if r := sub.checkBatched().in(batchPlace(i)); r != nil {
			return false, r
		}
	}
	for i, sub := range b.events {
		if r := sub.checkValues(l).in(batchPlace(i)); r != nil {
			return false, r
		}
		asked = asked || sub.info != ""
	}
	if b.named > l.BatchEvents {
		return false, overLimit(400, codeTooManyEvents, "the batch holds", int64(b.named), "events", int64(l.BatchEvents), "limits.batch_events")
	}
	return asked, nil
}

// checkBatched checks which members an event of a batch has.
func (sub *submission) checkBatched() *refusal {
	switch {
	case sub.given&hasKey != 0:
		return refuse(400, codeBadKey, "idempotency_key stands at the top of a batch, not inside an event")
	case sub.given&hasDurable != 0:
		return refuse(400, codeBadJSON, "durable stands at the top of a batch, not inside an event")
	case sub.given&hasChannels != 0:
		return refuse(400, codeBadChannel, "channels is given: an event of a batch has one channel, named by channel")
	}
	return sub.checkMembers("channel")
}

// checkMembers checks that the event has what every event has.
func (sub *submission) checkMembers(channelMember string) *refusal {
	switch {
	case sub.given&hasEvent == 0:
		return refuse(400, codeMissingField, "name is missing: it is the event's name, a JSON string")
	case sub.given&hasData == 0:
		return refuse(400, codeMissingField, "data is missing: it is the payload, a JSON string")
	case sub.given&(hasChannel|hasChannels) == 0:
		return refuse(400, codeMissingField, channelMember+" is missing")
	}
	return nil
}

// checkValues checks names, then info, then the size of the data.
func (sub *submission) checkValues(l *Limits) *refusal {
	for _, name := range sub.event.Channels {
		if r := checkChannel(name, l); r != nil {
			return r
		}
	}
	if r := checkEventName(sub.event.Name, l); r != nil {
		return r
	}
	if sub.given&hasSocketID != 0 && !pusher.ValidSocketID(sub.event.Except) {
		return refuse(400, codeBadJSON, "socket_id "+shown(sub.event.Except)+" must be two numbers with a point between them")
	}
	var r *refusal
	if sub.want, sub.position, r = parseInfo(sub.info); r != nil {
		return r
	}
	if n := len(sub.event.Data); n > l.EventDataBytes {
		return overLimit(413, codeDataTooLarge, "event data is", int64(n), "bytes", int64(l.EventDataBytes), "limits.event_data_bytes")
	}
	return nil
}

// checkChannel checks a channel's name. The channels of users are open to the API.
func checkChannel(name string, l *Limits) *refusal {
	if len(name) > l.ChannelNameBytes {
		return overLimit(400, codeBadChannel, "channel name "+shown(name)+" is", int64(len(name)), "bytes", int64(l.ChannelNameBytes), "limits.channel_name_bytes")
	}
	if _, ok := pusher.ServerToUserID(name); ok {
		return nil
	}
	if pusher.ValidChannel(name, l.ChannelNameBytes) != nil {
		return refuse(400, codeBadChannel, "channel name "+shown(name)+" must be letters, digits and any of -_=@,.; or #server-to-user- and a user id")
	}
	return nil
}

// checkEventName checks an event's name.
func checkEventName(name string, l *Limits) *refusal {
	if len(name) > l.EventNameBytes {
		return overLimit(400, codeBadEvent, "event name "+shown(name)+" is", int64(len(name)), "bytes", int64(l.EventNameBytes), "limits.event_name_bytes")
	}
	if !pusher.ValidEventName(name) {
		return refuse(400, codeBadEvent, "event name "+shown(name)+" is not allowed")
	}
	return nil
}

// distinct drops repeated names, in place, and keeps the order of the first ones.
func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]struct{}, len(names))
	kept := names[:0]
	for _, n := range names {
		if _, ok := seen[n]; !ok {
			seen[n] = struct{}{}
			kept = append(kept, n)
		}
	}
	return kept
}
