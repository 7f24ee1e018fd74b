package router

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router/auth"
)

// maxPollWait is the longest wait of a poll, in seconds.
const maxPollWait = 50

// doorQuery is what the query of a stream says, decoded and not yet checked.
type doorQuery struct {
	channels, auths, datas []string
	since, rewind          string
	socketID               string
	wait                   string
	hasWait, hasRewind     bool
	hasSince               bool
}

// readDoorQuery decodes a query. The request line is bounded, and so is the query.
func readDoorQuery(raw []byte) (q doorQuery, err error) {
	for pair := range strings.SplitSeq(string(raw), "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err = url.QueryUnescape(name); err != nil {
			return q, err
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return q, err
		}
		switch name {
		case "channel":
			q.channels = append(q.channels, value)
		case "auth":
			q.auths = append(q.auths, value)
		case "channel_data":
			q.datas = append(q.datas, value)
		case "since":
			q.since, q.hasSince = value, true
		case "rewind":
			q.rewind, q.hasRewind = value, true
		case "socket_id":
			q.socketID = value
		case "wait":
			q.wait, q.hasWait = value, true
		}
	}
	return q, nil
}

// readStream checks everything about a request that needs no lock. The stream that
// it returns is good for an answer even if the request is refused.
func (s *Shard) readStream(up *frame.StreamRequest) (*stream, *App, *doorRefusal) {
	key, poll, _ := streamPath(up.Path)
	st := &stream{poll: poll, keep: up.KeepAlive, own: ""}
	app, no := s.streamApp(up, key, st)
	if no != nil {
		return st, nil, no
	}
	q, err := readDoorQuery(up.RawQuery)
	if err != nil {
		return st, app, doorRefuse(400, "bad_request", "the query cannot be decoded: "+err.Error())
	}
	if !poll && len(up.LastEventID) > 0 {
		q.since, q.hasSince = string(up.LastEventID), true
	}
	if no = s.readWait(st, &q, up); no == nil {
		no = s.readChannels(app, st, &q)
	}
	if no != nil {
		app.connections.Add(-1)
		return st, nil, no
	}
	return st, app, nil
}

// streamApp finds the application and decides whether the client may come in; then
// it is counted there.
func (s *Shard) streamApp(up *frame.StreamRequest, key []byte, st *stream) (*App, *doorRefusal) {
	gone := !st.poll && len(up.LastEventID) > 0 // a stream that comes back must not do so again
	app, ok := s.r.AppByKey(string(key))
	if !ok {
		s.stats.failures.auth[authUnknownApp].Add(1)
		return nil, doorRefuse(404, "unknown_app", "no application has this key").final(gone)
	}
	conf := app.conf.Load()
	if !conf.origins.Allowed(up.Origin) {
		s.stats.failures.auth[authOrigin].Add(1)
		return nil, doorRefuse(403, "origin", frame.OriginRefused.Text).final(gone)
	}
	st.origin = string(up.Origin)
	if !conf.Enabled {
		s.stats.failures.auth[authAppDisabled].Add(1)
		return nil, doorRefuse(403, "app_disabled", "the application is disabled").final(gone)
	}
	if s.r.closing.Load() {
		return nil, refusalOf(frame.Drain)
	}
	n := app.connections.Add(1)
	if limit := int64(conf.MaxConnections); limit > 0 && n > limit {
		app.connections.Add(-1)
		s.stats.failures.limited[scopeConnections].Add(1)
		no := refusalOf(frame.OverCapacity.With("connections: " + strconv.FormatInt(n, 10) + ", limit " + strconv.FormatInt(limit, 10) + " (apps.max_connections)"))
		no.limit, no.actual, no.knob = limit, n, "apps.max_connections"
		return nil, no
	}
	return app, nil
}

// readWait reads what only a poll says.
func (s *Shard) readWait(st *stream, q *doorQuery, up *frame.StreamRequest) *doorRefusal {
	if !st.poll {
		return nil
	}
	st.etag = strings.Trim(strings.TrimPrefix(string(up.IfNoneMatch), "W/"), `"`)
	st.wait = s.r.limits().PollWait
	if q.hasWait {
		n, err := strconv.ParseUint(q.wait, 10, 31)
		if err != nil {
			return doorRefuse(400, "bad_request", "wait is a number of seconds from 0 to 50")
		}
		st.wait = int(min(n, maxPollWait))
	}
	return nil
}

// readChannels checks the subscriptions that the query asks for.
func (s *Shard) readChannels(app *App, st *stream, q *doorQuery) *doorRefusal {
	limits := s.r.limits()
	if len(q.channels) == 0 {
		return doorRefuse(400, "missing_field", "channel is missing: name at least one")
	}
	if n := len(q.channels); n > limits.DoorChannels {
		no := doorRefuse(400, "too_many_channels", "the request names "+strconv.Itoa(n)+" channels, limit "+strconv.Itoa(limits.DoorChannels)+": raise limits.door_channels")
		no.limit, no.actual, no.knob = int64(limits.DoorChannels), int64(n), "limits.door_channels"
		return no
	}
	if q.auths != nil && len(q.auths) != len(q.channels) || q.datas != nil && len(q.datas) != len(q.channels) {
		return doorRefuse(400, "missing_field", "auth and channel_data stand once for each channel, in the order of the channels, or not at all")
	}
	st.since = q.hasSince
	since, ok := splitSince(q, len(q.channels))
	for i, name := range q.channels {
		c := streamChannel{req: request{app: app, name: name, kind: pusher.KindOf(name), rule: s.r.rule(app, name)}}
		if no := s.readChannel(st, q, i, &c.req); no != nil {
			no.channel = name
			return no
		}
		for j := range i {
			if q.channels[j] == name {
				no := doorRefuse(400, "bad_channel", "the channel is named twice")
				no.channel = name
				return no
			}
		}
		switch {
		case q.hasSince && !ok:
			c.req.replay, c.req.reason = pusher.ReplayRecovered, ReasonMalformed
		case q.hasSince:
			readSince(&c.req, since[i])
		case q.hasRewind && !st.poll:
			rewind, err := pusher.ParseRewind(quoteAge(q.rewind))
			if err != nil {
				return doorRefuse(400, "bad_request", "rewind must be a number of events from 1 to 1000, or an age like 30s, 5m or 1h")
			}
			c.req.replay, c.req.rewind = pusher.ReplayRewound, rewind
		}
		if c.req.replay != pusher.ReplayNone && c.req.reason == "" && (c.req.rule.Events == 0 || !c.req.rule.Replay) {
			c.req.reason = ReasonOff
		}
		st.channels = append(st.channels, c)
	}
	for i := range st.channels {
		st.channels[i].req.former = st.own
	}
	return nil
}

// quoteAge makes the JSON of a rewind out of its text in a query.
func quoteAge(text string) []byte {
	if strings.Trim(text, "0123456789") == "" {
		return []byte(text)
	}
	return []byte(`"` + text + `"`)
}

// splitSince cuts the positions of all channels apart.
func splitSince(q *doorQuery, n int) ([]string, bool) {
	parts := strings.Split(q.since, ",")
	return parts, len(parts) == n
}

// readSince takes over where a client stands in one channel; "-" is nowhere.
func readSince(req *request, text string) {
	if text == "-" {
		return
	}
	req.replay = pusher.ReplayRecovered
	epoch, seq, ok := pusher.ParsePosition([]byte(text))
	if !ok {
		req.reason = ReasonMalformed
		return
	}
	req.epoch, req.from = string(epoch), seq
}

// readChannel checks the name of one channel and the right to it.
func (s *Shard) readChannel(st *stream, q *doorQuery, i int, req *request) *doorRefusal {
	limits := s.r.limits()
	if err := pusher.ValidChannel(req.name, limits.ChannelNameBytes); err != nil || req.kind&pusher.ServerToUser != 0 {
		text := "users sign in on a WebSocket only"
		if err != nil {
			text = err.Error()
		}
		return doorRefuse(400, "bad_channel", text)
	}
	if st.poll && req.kind&pusher.Presence != 0 {
		return doorRefuse(400, "bad_channel", "a poll cannot be present: use a WebSocket or an event stream")
	}
	if !req.kind.NeedsAuth() {
		return nil
	}
	var sub pusher.Subscribe
	if q.auths != nil {
		sub.Auth = []byte(q.auths[i])
	}
	if q.datas != nil {
		sub.ChannelData = []byte(q.datas[i])
	}
	sub.HasChannelData = len(sub.ChannelData) > 0
	sub.Channel = []byte(req.name)
	if no := s.verifySession(st, q, &sub); no != nil {
		return no
	}
	present := req.kind&pusher.Presence != 0
	if no := s.verifyAs(req.app, &sub, []byte(st.own), present && sub.HasChannelData); no != nil {
		return doorRefuse(403, "bad_signature", no.text)
	}
	if !present {
		return nil
	}
	var err error
	if req.member, err = pusher.ParseChannelData(sub.ChannelData, limits.UserIDBytes, limits.UserInfoBytes); err != nil {
		return doorRefuse(403, codeRefusedChannel, err.Error())
	}
	return nil
}

// verifySession checks the session id that a signature was made for, once.
func (s *Shard) verifySession(st *stream, q *doorQuery, sub *pusher.Subscribe) *doorRefusal {
	if len(sub.Auth) == 0 {
		s.stats.failures.auth[authMissing].Add(1)
		return doorRefuse(403, "bad_signature", "the channel needs a signature: auth is missing")
	}
	if st.own != "" {
		return nil
	}
	if q.socketID == "" {
		return doorRefuse(400, "missing_field", "socket_id is missing: POST /app/{key}/session gives one out, and auth is made for it")
	}
	if s.r.checkSession == nil {
		return doorRefuse(403, "bad_signature", "this server gives out no session ids")
	}
	switch err := s.r.checkSession(q.socketID); {
	case errors.Is(err, auth.ErrSessionExpired):
		return doorRefuse(401, "session_expired", "the session id has expired: POST /app/{key}/session gives out a new one")
	case err != nil:
		s.stats.failures.auth[authSignature].Add(1)
		return doorRefuse(403, "bad_signature", "socket_id is no session id of this server")
	}
	st.own = q.socketID
	return nil
}
