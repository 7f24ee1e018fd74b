package pusher

import "strconv"

// Ping and Pong are complete messages. They must not be written to.
var (
	Ping = []byte(`{"event":"pusher:ping","data":{}}`)
	Pong = []byte(`{"event":"pusher:pong","data":{}}`)
)

// EventOptions are the members of an event beside its name, channel and data.
type EventOptions struct {
	// UserID is the sender of a client event on a presence channel. "" = left out.
	UserID string
	// Seq is the event's number in its channel. 0 = it has none.
	Seq uint64
	// Cached marks the last event of a cache channel, sent to a new subscriber.
	Cached bool
}

// AppendEvent appends an event as its subscribers receive it. data is the string as
// it was published; a JSON text in it stays text.
func AppendEvent(dst []byte, event, channel, data string, opt EventOptions) []byte {
	dst = AppendEventHead(dst, event, channel, data)
	if opt.UserID != "" {
		dst = append(dst, `,"user_id":`...)
		dst = AppendString(dst, opt.UserID)
	}
	if opt.Seq != 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, opt.Seq, 10)
	}
	if opt.Cached {
		dst = append(dst, `,"cached":true`...)
	}
	return append(dst, '}')
}

// AppendEventHead appends an event without its end, which AppendEventTail makes: the
// number of an event is known only when it has its place in the order, and that
// step is short.
func AppendEventHead(dst []byte, event, channel, data string) []byte {
	dst = append(dst, `{"event":`...)
	dst = AppendString(dst, event)
	dst = append(dst, `,"channel":`...)
	dst = AppendString(dst, channel)
	dst = append(dst, `,"data":`...)
	return AppendString(dst, data)
}

// AppendEventTail appends the end of an event; seq 0 = it has no number.
func AppendEventTail(dst []byte, seq uint64) []byte {
	if seq != 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, seq, 10)
	}
	return append(dst, '}')
}

// AppendEstablished appends the first message of a connection. activitySeconds is
// positive; clients refuse a connection that advertises 0. recovery tells that
// subscriptions may be recovered.
func AppendEstablished(dst []byte, socketID string, activitySeconds int, recovery bool) []byte {
	dst = append(dst, `{"event":"pusher:connection_established","data":"{\"socket_id\":\"`...)
	dst = appendEscaped(dst, viewOf(socketID)) // digits and a dot: one level is enough
	dst = append(dst, `\",\"activity_timeout\":`...)
	dst = strconv.AppendInt(dst, int64(activitySeconds), 10)
	if recovery {
		dst = append(dst, `,\"recovery\":true`...)
	}
	return append(dst, `}"}`...)
}

// Success is what a subscriber is told beside the data of its success.
type Success struct {
	// Epoch and Seq are the position. Epoch "" = the channel has none.
	Epoch string
	Seq   uint64
	// Replay says what became of a recover or a rewind.
	Replay Replay
	// Replayed is how many events follow; with ReplayRecovered and ReplayRewound.
	Replayed uint64
	// Reason says why nothing was recovered; with ReplayRefused.
	Reason string
}

// Replay is the outcome of a recover or a rewind.
type Replay uint8

const (
	ReplayNone      Replay = iota // neither was asked for
	ReplayRecovered               // every missed event follows
	ReplayRefused                 // nothing is replayed
	ReplayRewound                 // what was kept of what was asked for follows
)

// AppendSucceeded appends the answer to a subscribe. data is "{}", or on a presence
// channel what AppendPresenceData made.
func AppendSucceeded(dst []byte, channel, data string, more Success) []byte {
	dst = appendHead(dst, "pusher_internal:subscription_succeeded", channel)
	dst = append(dst, `,"data":`...)
	dst = AppendString(dst, data)
	if more.Epoch != "" {
		dst = appendPosition(dst, more.Epoch, more.Seq)
	}
	switch more.Replay {
	case ReplayRecovered:
		dst = append(dst, `,"recovered":true`...)
	case ReplayRefused:
		dst = append(dst, `,"recovered":false,"reason":"`...)
		dst = append(dst, more.Reason...)
		dst = append(dst, '"')
	}
	if more.Replay == ReplayRecovered || more.Replay == ReplayRewound {
		dst = append(dst, `,"replayed":`...)
		dst = strconv.AppendUint(dst, more.Replayed, 10)
	}
	return append(dst, '}')
}

// AppendPosition appends the message that moves a subscriber's position without an
// event: it was skipped for one, or, with a reason, continuity was lost.
func AppendPosition(dst []byte, channel, epoch string, seq uint64, reason string) []byte {
	dst = appendHead(dst, "pusher_internal:position", channel)
	dst = append(dst, `,"data":"{}"`...)
	dst = appendPosition(dst, epoch, seq)
	if reason != "" {
		dst = append(dst, `,"reason":"`...)
		dst = append(dst, reason...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendPosition appends a position as a member. An epoch needs no escapes.
func appendPosition(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, `,"position":`...)
	return AppendPositionObject(dst, epoch, seq)
}

// AppendPositionObject appends a position as a JSON object.
func AppendPositionObject(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, `{"epoch":"`...)
	dst = append(dst, epoch...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

// AppendSubscriptionError appends the refusal of a subscribe. The connection stays.
func AppendSubscriptionError(dst []byte, channel, typ, message string, status int) []byte {
	dst = appendHead(dst, "pusher:subscription_error", channel)
	dst, mark := openData(dst)
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, typ)
	dst = append(dst, `,"error":`...)
	dst = AppendString(dst, message)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, '}')
	return append(closeData(dst, mark), '}')
}

// AppendSubscriptionCount appends the number of subscribers of a channel.
func AppendSubscriptionCount(dst []byte, channel string, n int) []byte {
	dst = appendHead(dst, "pusher_internal:subscription_count", channel)
	dst = append(dst, `,"data":"{\"subscription_count\":`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, `}"}`...)
}

// AppendCacheMiss appends the answer to a subscriber of a cache channel that has no
// last event. It has no data.
func AppendCacheMiss(dst []byte, channel string) []byte {
	return append(appendHead(dst, "pusher:cache_miss", channel), '}')
}

// AppendError appends an in-band error. Its data is an object, not a string, and
// its code always a number: clients fail on null.
func AppendError(dst []byte, code int, message string) []byte {
	dst = append(dst, `{"event":"pusher:error","data":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	return append(dst, `}}`...)
}

// AppendSigninSuccess appends the answer to a sign-in: user_data as it was received.
func AppendSigninSuccess(dst []byte, userData string) []byte {
	dst = append(dst, `{"event":"pusher:signin_success"`...)
	dst, mark := openData(dst)
	dst = append(dst, `{"user_data":`...)
	dst = AppendString(dst, userData)
	dst = append(dst, '}')
	return append(closeData(dst, mark), '}')
}

// AppendWatchlist appends which watched users are, or have gone, online and
// offline. A side without users is left out; with neither the list is empty.
func AppendWatchlist(dst []byte, online, offline []string) []byte {
	dst = append(dst, `{"event":"pusher_internal:watchlist_events"`...)
	dst, mark := openData(dst)
	dst = append(dst, `{"events":[`...)
	if len(online) > 0 {
		dst = appendWatched(dst, `{"name":"online","user_ids":[`, online)
		if len(offline) > 0 {
			dst = append(dst, ',')
		}
	}
	if len(offline) > 0 {
		dst = appendWatched(dst, `{"name":"offline","user_ids":[`, offline)
	}
	dst = append(dst, `]}`...)
	return append(closeData(dst, mark), '}')
}

func appendWatched(dst []byte, head string, ids []string) []byte {
	dst = append(dst, head...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, id)
	}
	return append(dst, `]}`...)
}

// appendHead appends the beginning of a message of the protocol's own. event needs
// no escapes.
func appendHead(dst []byte, event, channel string) []byte {
	dst = append(dst, `{"event":"`...)
	dst = append(dst, event...)
	dst = append(dst, `","channel":`...)
	return AppendString(dst, channel)
}

// openData begins a data member whose JSON text is appended next, as plain JSON;
// closeData turns it into the JSON string that data has to be.
func openData(dst []byte) (out []byte, mark int) {
	dst = append(dst, `,"data":"`...)
	return dst, len(dst)
}

// closeData escapes what was appended since openData. The escaped form is built
// behind the plain one and then moved over it: neither reads what the other writes.
func closeData(dst []byte, mark int) []byte {
	end := len(dst)
	dst = appendEscaped(dst, dst[mark:end])
	n := copy(dst[mark:], dst[end:])
	return append(dst[:mark+n], '"')
}
