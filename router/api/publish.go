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
	k, r := s.idempotencyKey(req, sub.given, sub.key)
	if r != nil {
		return r
	}
	if r := sub.check(req.limits); r != nil {
		return r
	}
	if r := s.checkDurable(sub.given); r != nil {
		return r
	}
	sub.event.Durable = sub.given&hasDurable != 0
	r = s.once(req, k, func() ([]byte, *refusal) {
		sub.event.IdempotencyKey = k.event(req.app, 0)
		if r := s.publish(req.app, sub); r != nil {
			return nil, r
		}
		return s.eventsBody(req.app, sub), nil
	})
	return req.stored(sub.given, r)
}

// eventsBody is the answer to a published event.
func (s *Server) eventsBody(app *router.App, sub *submission) []byte {
	if sub.info == "" {
		return bodyEmpty
	}
	body := append([]byte(nil), `{"channels":{`...)
	for i, name := range sub.event.Channels {
		if i > 0 {
			body = append(body, ',')
		}
		body = pusher.AppendString(body, name)
		body = append(body, ':')
		body = s.appendInfo(body, app, sub, i)
	}
	return append(body, "}}"...)
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
	k, r := s.idempotencyKey(req, b.given, b.key)
	if r != nil {
		return r
	}
	asked, r := b.check(req.limits)
	if r != nil {
		return r
	}
	if r := s.checkDurable(b.given); r != nil {
		return r
	}
	s.chargeRest(req, len(b.events)-1)
	r = s.once(req, k, func() ([]byte, *refusal) {
		for i, sub := range b.events {
			sub.event.Durable = b.given&hasDurable != 0
			sub.event.IdempotencyKey = k.event(req.app, i)
			if r := s.publish(req.app, sub); r != nil {
				if i > 0 {
					r.text += "; the first " + grouped(int64(i)) + " of " + grouped(int64(len(b.events))) + " events were delivered"
				}
				return nil, r
			}
		}
		if !asked {
			return bodyEmpty, nil
		}
		return s.batchBody(req.app, b), nil
	})
	return req.stored(b.given, r)
}

// batchBody is the answer to a published batch.
func (s *Server) batchBody(app *router.App, b *batch) []byte {
	body := append([]byte(nil), `{"batch":[`...)
	for i, sub := range b.events {
		if i > 0 {
			body = append(body, ',')
		}
		body = s.appendInfo(body, app, sub, 0)
	}
	return append(body, "]}"...)
}

// stored says in the answer to a durable publish that it is on the disk.
func (req *request) stored(given members, r *refusal) *refusal {
	if r == nil && given&hasDurable != 0 {
		req.ctx.Response.Header.Set(headerDurable, "1")
	}
	return r
}

// appendInfo appends, as an object, what was wanted of the i-th channel of a publish
// and the channel can have. Its position is that of the event, or of the former one
// if this was a duplicate.
func (s *Server) appendInfo(dst []byte, app *router.App, sub *submission, i int) []byte {
	channel, at := sub.event.Channels[i], len(dst)
	if sub.position && i < len(sub.event.Receipts) && sub.event.Receipts[i].Epoch != "" {
		dst = appendPosition(dst, sub.event.Receipts[i].Epoch, sub.event.Receipts[i].Seq)
	}
	if want := sub.want & attributesOf(pusher.KindOf(channel)); want != 0 {
		dst = appendAttributes(dst, want, s.router.Info(app, channel, want))
	}
	return asObject(dst, at)
}

// publish hands one checked event to the router.
func (s *Server) publish(app *router.App, sub *submission) *refusal {
	err := s.router.Publish(app, &sub.event)
	if err == nil {
		return nil
	}
	var r *refusal
	switch {
	case errors.Is(err, router.ErrLogUnavailable):
		r = refuse(503, codeLogUnavailable, "the log cannot store durable events now: the event was not delivered; try again in a second")
	case errors.Is(err, router.ErrBusy):
		r = refuse(503, codeBrokerUnavailable, "too many events are waiting for delivery: try again in a second")
	default:
		r = refuse(503, codeBrokerUnavailable, "the event could not be delivered: try again in a second")
	}
	r.retryAfter = retrySoon
	return r
}
