// Package api answers the HTTP API of the Pusher protocol, and /up, on fasthttp.
//
// What it serves. A conversation is one keep-alive connection, given to
// Server.ServeConn by whoever accepted it and read its first head:
//
//	POST /apps/{id}/events                               one event for 1 to limits.event_channels channels
//	POST /apps/{id}/batch_events                         1 to limits.batch_events events of a channel each
//	GET  /apps/{id}/channels?filter_by_prefix=&info=     occupied channels
//	GET  /apps/{id}/channels/{name}?info=                one channel
//	GET  /apps/{id}/channels/{name}/users                the users of a presence channel
//	GET  /apps/{id}/channels/{name}/history?since=&limit= what the log keeps of a channel
//	GET  /apps/{id}/connections                          how many connections are established
//	POST /apps/{id}/users/{id}/terminate_connections     close a signed-in user's connections
//	POST /app/{key}/session                              a socket id for clients without a WebSocket, unsigned
//	GET  /up                                             {"health":"OK"}, unsigned
//
// HEAD is answered wherever GET is, but for history, and is signed as HEAD. Every
// other path is 404, every other method 405. Every answer is JSON, errors too;
// fasthttp's own faults (no HTTP, head or body too large, no body in time) included.
//
// In what order a request is judged: size of the head (431), route, method,
// application (404 unknown_app, 403 app_disabled), signature (401), rate (429), JSON
// (400 bad_json), idempotency key (bad_key), missing members, names and info, sizes,
// counts, durability (503), what the idempotency key was used for (409, or the former
// answer), draining (503).
// The first fault is the answer. A batch is judged whole, step by step, before any
// of it is published. A session is not signed; after its application its origin is
// judged (403 origin).
//
// What the formats leave open, and how it is decided here:
//   - data must be a JSON string, and is handed on as the bytes of that string.
//     Another kind of value is 400 bad_json: guessing an encoding would change
//     what clients receive. An empty string is data.
//   - A member that is null counts as absent. A member of the wrong kind is
//     bad_json, as is a socket_id that no server has handed out the form of; an
//     absent one that is needed is missing_field. Unknown members are ignored.
//   - channel and channels together are refused (bad_channel): publishing to one
//     of them would lose an event silently. A channel named twice gets one event.
//   - Each event of a batch has its own channel, and no channels; durable and
//     idempotency_key stand at the top of a batch, inside an event they are refused.
//   - info on a publish answers what the channel's kind can have and leaves out
//     the rest; on a query the rest is 400 bad_info. A list of channels can have
//     an attribute if every channel with that prefix can.
//   - info=position answers the position of this event, and of a duplicate that of
//     the former one. Where there is none it is left out of a publish: a channel
//     without history, a log that could not take the event. On a query a channel
//     without history is 400 bad_info; a channel from whose position nobody could go
//     on has no position member.
//   - A history page ends early, and next goes on, whenever fewer events than asked
//     for are at hand. since and limit that cannot be read are 400 bad_request; empty
//     ones are absent. A 410 has position and oldest unless there is none to begin
//     anew from: the channel has no history, or a gap that the next event closes.
//   - With a log, a batch is taken by it as a whole or not at all (503). A single
//     channel can still fail afterwards, when the disk does: then the sentence counts
//     what was delivered. Without a log, a full delivery loop (503
//     broker_unavailable) ends a batch in the middle, and the sentence says where.
//   - Without a log "durable":true is 503 log_unavailable and an idempotency key 400
//     bad_key: a promise that cannot be kept is not made.
//   - limits.api_events_per_second counts events: a batch passes if one does, and
//     the rest of it is charged to the next second. An answer that is given again
//     costs one.
//
// What an idempotency key promises, for replay.idempotency_age and as long as it is
// among the newest replay.idempotency_keys, in its application:
//
//	K1  Of all requests with one key and one body, an event reaches each of its
//	    channels once, also when some of them failed, ran at the same time, or the
//	    process was killed between any two steps.
//	K2  After a 200, the same request is answered with the same bytes, marked
//	    Idempotent-Replayed, and nothing is published.
//	K3  From the moment at which something may have been published, another body under
//	    the key is 409 idempotency_mismatch, whether or not the first was answered.
//
// They rest on one order: the key is bound to the hash of its request in the log
// (Answer with status 0), then the events are appended, each with a key that is made
// of application, key, hash and place in the batch, then the answer is stored. After
// a crash behind the binding the request is simply done again: the log tells which
// channels have the event, and the receipts of those carry its former position, so
// positions in the answer are what they were; counts are of now, since that answer
// was never given. The binding is as safe as the events that follow it: whoever keeps
// the log must not lose it while keeping one of them. A power cut may take an answer
// that was not on the disk; it is then made anew in the same way. A refusal before the binding
// (every 4xx, draining) leaves the key free; a 503 behind it leaves the key with its
// body.
//
// While the log cannot write, K1 to K3 hold for durable publishes, which are then
// refused; others go out live, as without a key. When the log cannot be read, a
// request with a key is 503: whether it was published cannot be told. The hash is of
// the call (events or batch_events) and the bytes of the body; how a path is encoded
// and what the query signs does not count.
//
// Who owns what. A conversation runs on the goroutine that called ServeConn; that
// caller bounds the number of conversations and owns their deadlines. Between
// conversations the Server shares its limits and session ids (atomic), the rate
// buckets (one an application), the idempotency keys under way (one a conversation at
// most) and pools.
//
// What it refuses: to accept or time connections, to read a clock of its own, to
// keep a request's bytes, to log anything.
package api
