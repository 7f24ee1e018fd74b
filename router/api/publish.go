package api

import (
	"errors"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// bodyEmpty and bodyUp are whole answers; fasthttp only reads them.
var (
	bodyEmpty = []byte(`{}`)
	bodyUp    = []byte(`{"health":"OK"}`)
)

// retrySoon is the Retry-After of a state that passes by itself, in seconds.
const retrySoon = 1

// events serves POST /apps/{id}/events.
func (s *Server) events(req *request) *refusal {
	if r := s.rate(req); r != nil {
		return r
	}
	d := s.decoders.Get().(*decoder) //nolint:forcetypeassert // the pool holds nothing else
	sub, r := d.readEvent(req.ctx.Request.Body(), req.limits.EventChannels)
	d.release()
	s.decoders.Put(d)
	if r != nil {
		return r
	}
	if r := req.refuseKey(sub.given); r != nil {
		return r
	}
	if r := sub.check(req.limits); r != nil {
		return r
	}
	if r := refuseDurable(sub.given); r != nil {
		return r
	}
	if r := s.publish(req.app, sub); r != nil {
		return r
	}
	if sub.given&hasInfo == 0 || sub.info == "" {
		req.ctx.Response.SetBodyRaw(bodyEmpty)
		return nil
	}
	body := append([]byte(nil), `{"channels":{`...)
	for i, name := range sub.event.Channels {
		if i > 0 {
			body = append(body, ',')
		}
		body = pusher.AppendString(body, name)
		body = append(body, ':')
		body = s.appendInfo(body, req.app, name, sub.want)
	}
	req.ctx.Response.SetBodyRaw(append(body, "}}"...))
	return nil
}

// batchEvents serves POST /apps/{id}/batch_events.
func (s *Server) batchEvents(req *request) *refusal {
	if r := s.rate(req); r != nil {
		return r
	}
	d := s.decoders.Get().(*decoder) //nolint:forcetypeassert // the pool holds nothing else
	b, r := d.readBatch(req.ctx.Request.Body(), req.limits.BatchEvents, 1)
	d.release()
	s.decoders.Put(d)
	if r != nil {
		return r
	}
	if r := req.refuseKey(b.given); r != nil {
		return r
	}
	asked, r := b.check(req.limits)
	if r != nil {
		return r
	}
	if r := refuseDurable(b.given); r != nil {
		return r
	}
	s.chargeRest(req, len(b.events)-1)
	for i, sub := range b.events {
		if r := s.publish(req.app, sub); r != nil {
			if i > 0 {
				r.text += "; the first " + grouped(int64(i)) + " of " + grouped(int64(len(b.events))) + " events were delivered"
			}
			return r
		}
	}
	if !asked {
		req.ctx.Response.SetBodyRaw(bodyEmpty)
		return nil
	}
	body := append([]byte(nil), `{"batch":[`...)
	for i, sub := range b.events {
		if i > 0 {
			body = append(body, ',')
		}
		body = s.appendInfo(body, req.app, sub.event.Channels[0], sub.want)
	}
	req.ctx.Response.SetBodyRaw(append(body, "]}"...))
	return nil
}

// appendInfo appends the attributes of a channel that were wanted of a publish
// and that the channel can have, as an object.
func (s *Server) appendInfo(dst []byte, app *router.App, channel string, want router.Info) []byte {
	want &= attributesOf(pusher.KindOf(channel))
	if want == 0 {
		return append(dst, "{}"...)
	}
	return appendObject(dst, want, s.router.Info(app, channel, want))
}

// publish hands one checked event to the router.
func (s *Server) publish(app *router.App, sub *submission) *refusal {
	if s.draining.Load() {
		r := refuse(503, codeDraining, "this server is about to end: publish to another one, or again in a second")
		r.retryAfter = retrySoon
		return r
	}
	if err := s.router.Publish(app, &sub.event); err != nil {
		text := "the event could not be delivered: try again in a second"
		if errors.Is(err, router.ErrBusy) {
			text = "too many events are waiting for delivery: try again in a second"
		}
		r := refuse(503, codeBrokerUnavailable, text)
		r.retryAfter = retrySoon
		return r
	}
	return nil
}
