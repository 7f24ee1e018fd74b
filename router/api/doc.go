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
//	GET  /apps/{id}/connections                          how many connections are established
//	POST /apps/{id}/users/{id}/terminate_connections     close a signed-in user's connections
//	GET  /up                                             {"health":"OK"}, unsigned
//
// HEAD is answered wherever GET is, and is signed as HEAD. Every other path is
// 404, every other method 405. Every answer is JSON, errors too; fasthttp's own
// faults (no HTTP, head or body too large, no body in time) included.
//
// In what order a request is judged: size of the head (431), route, method, application (404 unknown_app,
// 403 app_disabled), signature (401), rate (429), JSON (400 bad_json), idempotency
// key (bad_key), missing members, names and info, sizes, counts, durability (503).
// The first fault is the answer. A batch is judged whole, step by step, before any
// of it is published.
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
//   - This version keeps no event: info=position is left out of a publish and
//     refused on a query; "durable":true is 503 log_unavailable and publishes
//     nothing; an idempotency key, in the body or as a header, is 400 bad_key,
//     because a promise to deliver once could not be kept.
//   - A full delivery loop is 503 broker_unavailable with Retry-After: 1. Of a
//     batch the events before the refused one are then delivered, and the sentence
//     says how many.
//   - limits.api_events_per_second counts events: a batch passes if one does, and
//     the rest of it is charged to the next second.
//
// Who owns what. A conversation runs on the goroutine that called ServeConn; that
// caller bounds the number of conversations and owns their deadlines. Between
// conversations the Server shares its limits (atomic), the rate buckets (one an
// application) and pools.
//
// What it refuses: to accept or time connections, to read a clock of its own, to
// keep a request's bytes, to log anything.
package api
