package router

import "github.com/holdfast-edge/holdfast/frame/pusher"

// Metric labels come from closed sets. Each set is an integer type whose values
// index an array of counters, and a table of the names.

// recvKind is what a client sent.
type recvKind uint8

const (
	recvInvalid recvKind = iota // unparsable, or an unknown pusher: event
	recvBinary
	recvPing
	recvPong
	recvSubscribe
	recvUnsubscribe
	recvSignin
	recvClientEvent
	recvKinds
)

var recvNames = [recvKinds]string{"invalid", "binary", "ping", "pong", "subscribe", "unsubscribe", "signin", "client_event"}

// receivedKind sorts a decoded message by its event name. Whatever is not of the
// protocol's own name space is taken as a client event, and refused there if its
// name is wrong.
func receivedKind(event []byte) recvKind {
	switch string(event) {
	case "pusher:ping":
		return recvPing
	case "pusher:pong":
		return recvPong
	case "pusher:subscribe":
		return recvSubscribe
	case "pusher:unsubscribe":
		return recvUnsubscribe
	case "pusher:signin":
		return recvSignin
	}
	if len(event) == 0 || reserved(string(event)) {
		return recvInvalid
	}
	return recvClientEvent
}

// sentKind is what was sent to a client.
type sentKind uint8

const (
	sentReply       sentKind = iota // answers to its own messages, pings, watchlist
	sentEvent                       // published by the application
	sentClientEvent                 // of another client
	sentPresence                    // member_added, member_removed
	sentCount                       // subscription_count
	sentKinds
)

var sentNames = [sentKinds]string{"reply", "event", "client_event", "presence", "subscription_count"}

// channelType is the type label of channels: one word for each combination of
// kinds that operators plan capacity by.
type channelType uint8

const (
	typePublic channelType = iota
	typePrivate
	typePresence
	typeCache
	channelTypes
)

var typeNames = [channelTypes]string{"public", "private", "presence", "cache"}

// typeOf sorts a channel: a cache channel of any kind is cache, a presence channel
// presence, an encrypted one private, a user's own channel private.
func typeOf(k pusher.Kind) channelType {
	switch {
	case k&pusher.Cache != 0:
		return typeCache
	case k&pusher.Presence != 0:
		return typePresence
	case k != 0:
		return typePrivate
	default:
		return typePublic
	}
}

// subscribeResult is how a subscribe ended.
type subscribeResult uint8

const (
	resultOK subscribeResult = iota
	resultAuth
	resultBadRequest
	resultLimit
	subscribeResults
)

var resultNames = [subscribeResults]string{"ok", "auth", "bad_request", "limit"}

// replayResult is what became of a recover or a rewind.
type replayResult uint8

const (
	replayReplayed replayResult = iota
	replayIdle
	replayExpired
	replayEpoch
	replayAhead
	replayTooMany
	replayUnavailable
	replayOff
	replayMalformed
	replayResults
)

var replayNames = [replayResults]string{
	"replayed", "idle", ReasonExpired, ReasonEpoch, ReasonAhead, ReasonTooMany, ReasonUnavailable, ReasonOff, ReasonMalformed,
}

// replayResultOf sorts the answer to a subscribe that asked for a replay.
func replayResultOf(more pusher.Success) replayResult {
	if more.Replay != pusher.ReplayRefused {
		if more.Replayed > 0 {
			return replayReplayed
		}
		return replayIdle
	}
	for i, name := range replayNames {
		if name == more.Reason {
			return replayResult(i)
		}
	}
	return replayUnavailable
}

// publishSource is where an event came from.
type publishSource uint8

const (
	sourceAPI publishSource = iota
	sourceClient
	publishSources
)

var sourceNames = [publishSources]string{"api", "client"}

// authReason is why somebody was not let in.
type authReason uint8

const (
	authUnknownApp authReason = iota
	authAppDisabled
	authOrigin
	authMissing
	authKey
	authSignature
	authForeignUser // another user's #server-to-user- channel
	authReasons
)

var authNames = [authReasons]string{"unknown_app", "app_disabled", "origin", "missing", "key", "signature", "foreign_user"}

// limitScope is which limit was reached.
type limitScope uint8

const (
	scopeFrames limitScope = iota
	scopeControl
	scopeSubscribes
	scopeSubscriptions
	scopeClientEvents
	scopePresence
	scopeConnections
	scopeBacklog
	limitScopes
)

var scopeNames = [limitScopes]string{"frames", "control_frames", "subscribes", "subscriptions", "client_events", "presence_members", "connections", "backlog"}
