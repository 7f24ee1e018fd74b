package ingest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// errMessage: what came is not what the framework sends.
var errMessage = errors.New("ingest: not a broadcast")

// errLimit: it is one, and more than a limit allows.
var errLimit = errors.New("ingest: over a limit")

// broadcast is the framework's message.
type broadcast struct {
	Event  string         `json:"event"`
	Data   jsontext.Value `json:"data"`
	Socket *string        `json:"socket"`
}

// read makes an event of a message on a Redis channel. Sizes are checked before anything
// is parsed: a message has the data, and little more.
func read(prefix, channel, raw string, limits router.Limits) (*router.Event, error) {
	name, ok := strings.CutPrefix(channel, prefix)
	_, users := pusher.ServerToUserID(name)
	if !ok || !users && pusher.ValidChannel(name, limits.ChannelNameBytes) != nil {
		return nil, fmt.Errorf("%w: %q names no channel", errMessage, channel)
	}
	if most := 2*limits.EventDataBytes + limits.EventNameBytes + 1024; len(raw) > most {
		return nil, fmt.Errorf("%w: the message is %d bytes, limits.event_data_bytes is %d", errLimit, len(raw), limits.EventDataBytes)
	}
	var b broadcast
	if err := json.Unmarshal([]byte(raw), &b); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	ev := &router.Event{Name: b.Event, Data: string(b.Data), Channels: []string{name}}
	if b.Data == nil {
		ev.Data = "null"
	}
	if b.Socket != nil {
		ev.Except = *b.Socket
	}
	switch {
	case b.Event == "":
		return nil, fmt.Errorf("%w: it names no event", errMessage)
	case len(b.Event) > limits.EventNameBytes:
		return nil, fmt.Errorf("%w: the event's name is %d bytes, limits.event_name_bytes is %d", errLimit, len(b.Event), limits.EventNameBytes)
	case len(ev.Data) > limits.EventDataBytes:
		return nil, fmt.Errorf("%w: the event's data is %d bytes, limits.event_data_bytes is %d", errLimit, len(ev.Data), limits.EventDataBytes)
	}
	return ev, nil
}
