package api

import (
	"github.com/holdfast-edge/holdfast/router/limit"
)

// rate takes the first event of a publish from its application's budget.
func (s *Server) rate(req *request) *refusal {
	perSecond := req.limits.EventsPerSecond
	if perSecond == 0 || s.bucket(req).Take(s.sinceStart(req), perSecond, perSecond) {
		return nil
	}
	r := overLimitUnmeasured(429, codeRateLimited, "the rate of application "+shown(req.app.ID())+" is", "events a second", int64(perSecond), "limits.api_events_per_second")
	r.retryAfter = retrySoon
	return r
}

// chargeRest charges the further events of a batch, which may put the budget into
// debt: how many they are was not known when the first was taken.
func (s *Server) chargeRest(req *request, events int) {
	if perSecond := req.limits.EventsPerSecond; perSecond > 0 && events > 0 {
		s.bucket(req).Charge(s.sinceStart(req), perSecond, events)
	}
}

// bucket is the budget of the request's application.
func (s *Server) bucket(req *request) *limit.Rate {
	if b, ok := s.rates.Load(req.app.ID()); ok {
		return b.(*limit.Rate) //nolint:forcetypeassert // the map holds nothing else
	}
	b, _ := s.rates.LoadOrStore(req.app.ID(), new(limit.Rate))
	return b.(*limit.Rate) //nolint:forcetypeassert // as above
}

// sinceStart is the time of the request on the clock of the buckets.
func (s *Server) sinceStart(req *request) int64 { return int64(req.now.Sub(s.start)) }
