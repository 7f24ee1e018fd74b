package router

import (
	"fmt"
	"strings"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// clientPrefix starts the name of every event that a client may send.
const clientPrefix = "client-"

// clientEvent relays the event in s.msg to the other members of its channel, or
// says why not with an in-band error 4301. The sender never gets its own event.
func (s *Shard) clientEvent(slot uint32, x *session) {
	if text := s.relay(slot, x); text != "" {
		s.sendError(slot, x, codeClientEvent, text)
	}
}

// relay returns why the event was not relayed; "" when it was.
func (s *Shard) relay(slot uint32, x *session) string {
	limits, app := s.r.limits(), s.appOf(x)
	if !app.conf.Load().ClientEvents {
		return "client events: they are off for this application (apps.client_events)"
	}
	rate := limits.ClientEventsPerSecond
	if !x.clientEvents.Take(s.now, rate, rate) {
		s.stats.failures.limited[scopeClientEvents].Add(1)
		return fmt.Sprintf("client events: %d in 1 s, limit %d (limits.client_events_per_second)", rate+1, rate)
	}
	name, channel := string(s.msg.Event), string(s.msg.Channel)
	if !strings.HasPrefix(name, clientPrefix) {
		return "client events: a name begins with client-"
	}
	if len(name) > limits.EventNameBytes {
		return fmt.Sprintf("client events: the name is %d bytes, limit %d (limits.event_name_bytes)", len(name), limits.EventNameBytes)
	}
	kind := pusher.KindOf(channel)
	if kind&pusher.ServerToUser != 0 || !kind.NeedsAuth() {
		return "client events: the channel is neither private nor presence"
	}
	id, _ := s.membershipOf(x, s.msg.Channel)
	if id == 0 {
		return "client events: the connection is not subscribed to the channel"
	}
	data, err := s.clientData()
	if err != nil {
		return "client events: " + err.Error()
	}
	if len(data) > limits.EventDataBytes {
		return fmt.Sprintf("client events: the data is %d bytes, limit %d (limits.event_data_bytes)", len(data), limits.EventDataBytes)
	}
	ev := Event{Name: name, Data: data, Channels: []string{channel}, source: sourceClient, sender: s.ref(slot, x)}
	if u := s.present[id]; u != nil {
		ev.userID = u.member.UserID // never what the client says of itself
	}
	if s.r.relay(app, &ev) != nil {
		s.stats.failures.limited[scopeBacklog].Add(1)
		return "client events: the server is busy, the event was not relayed"
	}
	return ""
}

// relay hands a client's event to the members of its channel, on every node or on none.
func (r *Router) relay(app *App, ev *Event) error {
	if r.broker == nil {
		return r.deliver(app, ev)
	}
	if r.busyFor(app, ev.Channels) {
		return ErrBusy
	}
	text := pusher.AppendEvent(nil, ev.Name, ev.Channels[0], ev.Data, pusher.EventOptions{UserID: ev.userID})
	if err := r.broker.Relay(logKey(app, ev.Channels[0]), text); err != nil {
		return err
	}
	return r.deliver(app, ev)
}

// clientData is the event's data as the string that is relayed: a JSON string's
// text, or any other value's own JSON text. Absent data is relayed as null.
func (s *Shard) clientData() (string, error) {
	if s.msg.Data == nil {
		return "null", nil
	}
	if s.msg.DataIsString {
		return s.decoder.String(s.msg.Data)
	}
	return string(s.msg.Data), nil
}
