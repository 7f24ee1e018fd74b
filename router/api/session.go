package api

import (
	"crypto/rand"
	"strconv"
	"time"

	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/valyala/fasthttp"
)

// preflightAge is how long a browser may remember the answer to a preflight. Unit:
// seconds. It is short, since a reload may change the origins.
const preflightAge = "600"

// session serves POST /app/{key}/session, which pages call: it is not signed, the
// origin is checked instead, and a body is not looked at.
func (s *Server) session(req *request) *refusal {
	app, ok := s.router.AppByKey(req.place.app)
	if !ok {
		return refuse(404, codeUnknownApp, "application key "+shown(req.place.app)+" is not known here")
	}
	req.app = app
	r := req.crossOrigin()
	if !app.Enabled() {
		return refuse(403, codeAppDisabled, "application "+shown(app.ID())+" is disabled")
	}
	if r != nil {
		return r
	}
	if req.method == fasthttp.MethodOptions {
		req.preflight()
		return nil
	}
	ids := s.sessions.Load()
	var random [6]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails
	body := append([]byte(nil), `{"socket_id":"`...)
	body = append(body, ids.Issue(req.now, random)...)
	body = append(body, `","expires_in":`...)
	body = strconv.AppendInt(body, int64(auth.SessionLifetime/time.Second), 10)
	req.ctx.Response.SetBodyRaw(append(body, '}'))
	return nil
}

// crossOrigin refuses pages of foreign origins, and lets those of the application's
// own read the answer, a refusal too. Credentials are never allowed: nothing here
// depends on a cookie.
func (req *request) crossOrigin() *refusal {
	h := &req.ctx.Response.Header
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	origin := req.ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	if !req.app.OriginAllowed(origin) {
		return refuse(403, codeOrigin, "origin "+shown(string(origin))+" may not use this application: add it to apps.allowed_origins")
	}
	if len(origin) > 0 {
		h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
		h.Set(fasthttp.HeaderAccessControlExposeHeaders, fasthttp.HeaderETag)
	}
	return nil
}

// preflight answers a browser that asks before it posts, which it does when a page
// sets a content type.
func (req *request) preflight() {
	h := &req.ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, fasthttp.MethodPost)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, fasthttp.HeaderContentType)
	h.Set(fasthttp.HeaderAccessControlMaxAge, preflightAge)
	h.SetNoDefaultContentType(true)
	h.SetContentType("")
	req.ctx.SetStatusCode(fasthttp.StatusNoContent)
}
