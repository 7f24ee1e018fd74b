package api

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/valyala/fasthttp"
)

// request is one request on its way through the steps that doc.go lists.
type request struct {
	place
	ctx    *fasthttp.RequestCtx
	method string
	app    *router.App
	limits *Limits
	now    time.Time
}

// serve answers one request. It is fasthttp's handler.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	req := request{ctx: ctx, limits: s.limits.Load(), now: s.clock()}
	req.place = locate(string(ctx.Request.Header.RequestURI()), s.prefix)
	req.method = methodName(ctx.Method())
	ctx.Response.Header.SetContentType(contentType)
	if c, ok := ctx.Conn().(*conversation); ok {
		c.line, c.lined = 0, false
	}
	r := headTooLarge(ctx, req.limits)
	if r != nil || s.draining.Load() {
		ctx.SetConnectionClose()
	}
	if r == nil {
		r = s.answer(&req)
	}
	if r != nil {
		r.write(ctx)
	}
	s.metrics.answered(req.route, ctx.Response.StatusCode(), s.clock().Sub(req.now))
}

// methodName is the method as a string, without an allocation for the usual ones.
func methodName(m []byte) string {
	switch string(m) {
	case "POST":
		return "POST"
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	default:
		return string(m)
	}
}

// answer writes the response of a request that is served, or tells why it is not.
func (s *Server) answer(req *request) *refusal {
	if req.route == routeOther || req.route == routeSession && s.sessions.Load() == nil {
		return refuse(404, codeNotFound, "there is nothing at "+shown(req.path))
	}
	if !req.route.allows(req.method) {
		allow := req.route.allow()
		r := refuse(405, codeMethod, "method "+shown(req.method)+" is not allowed here: use "+allow)
		r.allow = allow
		return r
	}
	if req.route == routeUp {
		req.ctx.Response.SetBodyRaw(bodyUp)
		return nil
	}
	if req.route == routeSession {
		return s.session(req)
	}
	if r := s.admit(req); r != nil {
		return r
	}
	switch req.route {
	case routeEvents:
		return s.events(req)
	case routeBatch:
		return s.batchEvents(req)
	case routeChannels:
		return s.channels(req)
	case routeChannel:
		return s.channel(req)
	case routeUsers:
		return s.users(req)
	case routeHistory:
		return s.history(req)
	case routeConnections:
		return s.connections(req)
	default:
		return s.terminate(req)
	}
}

// admit finds the application and checks that the request is its own.
func (s *Server) admit(req *request) *refusal {
	app, ok := s.router.AppByID(req.place.app)
	if !ok {
		return refuse(404, codeUnknownApp, "application "+shown(req.place.app)+" is not known here")
	}
	if !app.Enabled() {
		return refuse(403, codeAppDisabled, "application "+shown(app.ID())+" is disabled")
	}
	req.app = app
	err := app.Credentials().VerifyRequest(auth.Request{
		Method: req.method, Path: req.path, RawQuery: req.query, Body: req.ctx.Request.Body(),
	}, req.now, req.limits.AuthWindow)
	if err == nil {
		return nil
	}
	if errors.Is(err, auth.ErrStale) {
		return req.stale()
	}
	return refuse(401, codeBadSignature, unauthorized(err))
}

// unauthorized is the sentence for a request that is not proven to be the
// application's. It never says what the signature should have been.
func unauthorized(err error) string {
	switch {
	case errors.Is(err, auth.ErrKey):
		return "auth_key is not the key of this application"
	case errors.Is(err, auth.ErrSignature):
		return "auth_signature does not match: check the secret, and that nothing on the way changes path, query or body"
	default:
		return strings.TrimPrefix(err.Error(), "auth: ")
	}
}

// stale is the refusal of a timestamp outside the window, with the distance.
func (req *request) stale() *refusal {
	limit := int64(req.limits.AuthWindow / time.Second)
	const knob = "limits.auth_window"
	stamp, err := strconv.ParseInt(req.param("auth_timestamp"), 10, 64)
	if err != nil {
		return overLimitUnmeasured(401, codeStaleTimestamp, "auth_timestamp is away from this server's clock by", "s", limit, knob)
	}
	away := req.now.Unix() - stamp
	if away < 0 {
		away = -away
	}
	return &refusal{
		status: 401, code: codeStaleTimestamp, limit: limit, actual: away, knob: knob,
		text: "auth_timestamp is " + grouped(away) + " s away from this server's clock, limit " + grouped(limit) + ": set the clocks or raise " + knob,
	}
}

// param is a decoded parameter of the query, the first of its name; "" if there is none.
func (req *request) param(name string) string {
	for rest := req.query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key != name {
			if key, _ = url.QueryUnescape(key); key != name {
				continue
			}
		}
		if v, err := url.QueryUnescape(value); err == nil {
			return v
		}
		return value
	}
	return ""
}
