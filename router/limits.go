package router

import (
	"fmt"

	"github.com/holdfast-edge/holdfast/frame"
)

// Codes of in-band pusher:error events, after which the connection stays.
const (
	codeUnauthorized   = 4009 // a sign-in whose signature does not match
	codeInvalidMessage = 4200 // a message that cannot be understood or carried out
	codeClientEvent    = 4301 // a client event that is not relayed
	codeWatchlist      = 4302 // a watchlist that was cut
)

// takeFrameToken counts a message or fragment against frames_per_second.
func (s *Shard) takeFrameToken(x *session) error {
	rate := s.r.limits().FramesPerSecond
	if x.frames.Take(s.now, rate, 2*rate) {
		return nil
	}
	s.stats.failures.limited[scopeFrames].Add(1)
	return frame.RateLimited.With(fmt.Sprintf("frames: more than %d in 1 s (limits.frames_per_second)", rate))
}

// takeControlToken counts a control frame against control_frames_per_second.
func (s *Shard) takeControlToken(x *session) error {
	rate := s.r.limits().ControlFramesPerSec
	if x.control.Take(s.now, rate, rate) {
		return nil
	}
	s.stats.failures.limited[scopeControl].Add(1)
	return frame.RateLimited.With(fmt.Sprintf("control frames: more than %d in 1 s (limits.control_frames_per_second)", rate))
}

// takeSubscribeToken counts a subscribe or unsubscribe that was carried out. When
// the tokens are used up the connection is not read until they return: a refused
// subscribe would leave the client's channel dead until its next connect.
func (s *Shard) takeSubscribeToken(slot uint32, x *session) error {
	rate := s.r.limits().SubscribesPerSecond
	x.subscribes.Charge(s.now, rate, 2*rate)
	if x.subscribes.Ready(s.now, rate, 2*rate) {
		return nil
	}
	s.stats.failures.limited[scopeSubscribes].Add(1)
	if x.flags&flagPaused == 0 {
		x.flags |= flagPaused
		s.paused = append(s.paused, s.ref(slot, x))
	}
	return frame.ErrPause
}

// resumePaused lets the connections go on whose tokens have returned. The list is
// complete before the first of them does, because it may be paused again at once.
func (s *Shard) resumePaused() {
	if len(s.paused) == 0 {
		return
	}
	rate := s.r.limits().SubscribesPerSecond
	kept, ready := s.paused[:0], []connRef(nil)
	for _, ref := range s.paused {
		switch {
		case !s.sessions.is(ref): // it has ended
		case s.sessions.at(ref.slot).subscribes.Ready(s.now, rate, 2*rate):
			ready = append(ready, ref)
		default:
			kept = append(kept, ref)
		}
	}
	s.paused = kept
	for _, ref := range ready {
		x := s.sessions.at(ref.slot)
		x.flags &^= flagPaused
		if x.flags&flagLooking == 0 {
			s.conns.Resume(ref.slot)
		}
	}
}
