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
	answered, r := s.claim(req, k)
	if r != nil {
		return r
	}
	if !answered {
		defer s.release(req, k)
		sub.event.Durable = sub.given&hasDurable != 0
		sub.event.IdempotencyKey = k.event(req.app, 0)
		if r := s.publish(req.app, sub.list()); r != nil {
			return r
		}
		s.settle(req, k, s.eventsBody(req.app, sub))
	}
	req.tellStored(sub.given)
	return nil
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
	answered, r := s.claim(req, k)
	if r != nil {
		return r
	}
	if !answered {
		defer s.release(req, k)
		s.chargeRest(req, len(b.events)-1)
		if r := s.publish(req.app, b.list(req.app, k)); r != nil {
			return r
		}
		body := bodyEmpty
		if asked {
			body = s.batchBody(req.app, b)
		}
		s.settle(req, k, body)
	}
	req.tellStored(b.given)
	return nil
}

// list is the event as it is published.
func (sub *submission) list() []*router.Event {
	sub.all[0] = &sub.event
	return sub.all[:]
}

// list is the events of a batch as they are published.
func (b *batch) list(app *router.App, k keyed) []*router.Event {
	events := make([]*router.Event, len(b.events))
	for i, sub := range b.events {
		sub.event.Durable = b.given&hasDurable != 0
		sub.event.IdempotencyKey = k.event(app, i)
		events[i] = &sub.event
	}
	return events
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

// tellStored says in the answer to a durable publish that it is on the disk.
func (req *request) tellStored(given members) {
	if given&hasDurable != 0 {
		req.ctx.Response.Header.Set(headerDurable, "1")
	}
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
		// The event is out: what cannot be asked now is left out of the answer.
		if info, err := s.router.InfoEverywhere(app, channel, want); err == nil {
			dst = appendAttributes(dst, want, info)
		}
	}
	return asObject(dst, at)
}

// publish hands checked events to the router: all at once when there is a log, which
// takes all of them or none, else one after the other.
func (s *Server) publish(app *router.App, events []*router.Event) *refusal {
	if s.router.Keeps() {
		if err := s.router.PublishAll(app, events); err != nil {
			return refusePublish(err, extentOf(events))
		}
		return nil
	}
	for i, ev := range events {
		if err := s.router.Publish(app, ev); err != nil {
			extent := nothing
			if i > 0 {
				extent = "the first " + grouped(int64(i)) + " of " + grouped(int64(len(events))) + " events were delivered"
			}
			return refusePublish(err, extent)
		}
	}
	return nil
}

// refusePublish is the answer when not all was published. extent says how much was.
func refusePublish(err error, extent string) *refusal {
	c, cause, advice := codeBrokerUnavailable, "the event could not be delivered", "try again in a second"
	switch {
	case errors.Is(err, router.ErrLogUnavailable):
		c, cause = codeLogUnavailable, "the log cannot store durable events now"
	case errors.Is(err, router.ErrDurableWaiting):
		r := refuse(429, codeRateLimited, "too many durable events wait for the disk: "+extent+"; try again in a second, or raise limits.durable_waiting")
		r.retryAfter = retrySoon
		return r
	case errors.Is(err, router.ErrUnanswered):
		cause, advice = "the broker of the cluster did not answer in time", advice+", with an idempotency_key so that nothing comes twice"
	case errors.Is(err, router.ErrBrokerUnavailable):
		cause = "the broker of the cluster is away"
	case errors.Is(err, router.ErrBusy):
		cause = "too many events are waiting for delivery"
	}
	r := refuse(503, c, cause+": "+extent+"; "+advice)
	r.retryAfter = retrySoon
	return r
}

// nothing is the extent of a publish that reached nobody.
const nothing = "nothing was delivered"

// extentOf says what became of events that the log did not take altogether.
func extentOf(events []*router.Event) string {
	whole, lack, first, unsure := 0, 0, "", false
	for i, ev := range events {
		for j := range ev.Receipts {
			whole++
			if ev.Receipts[j].Err == nil {
				continue
			}
			unsure = unsure || errors.Is(ev.Receipts[j].Err, router.ErrUnanswered)
			if lack++; lack == 1 {
				first = batchPlace(i)
				if len(events) == 1 {
					first = shown(ev.Channels[j])
				}
			}
		}
	}
	if lack == 0 || lack == whole { // 0: it was refused as a whole
		if unsure {
			return "what was asked for may have been delivered all the same"
		}
		return nothing
	}
	had, lacks := grouped(int64(whole-lack))+" of "+grouped(int64(whole)), "is "
	if unsure {
		lacks = "may be "
	}
	if len(events) == 1 {
		return "the event was delivered in " + had + " channels, the first without it " + lacks + first
	}
	return had + " events were delivered, the first that was not " + lacks + first
}
