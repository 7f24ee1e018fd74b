package api

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/valyala/fasthttp"
)

const (
	// headerKey carries an idempotency key outside the body.
	headerKey = "Idempotency-Key"
	// headerReplayed marks an answer that was given before.
	headerReplayed = "Idempotent-Replayed"

	// maxKey bounds an idempotency key. Unit: bytes.
	maxKey = 128

	// keyPatience is how long a request waits for another one with the same key.
	keyPatience = 2 * time.Second

	// statusOpen is stored instead of an HTTP status when a key is bound to its
	// request, which has no answer yet.
	statusOpen = 0
)

// keyed is what an idempotency key stands for; the zero value is no key.
type keyed struct {
	key string
	sum [sha256.Size]byte // of what was asked: the route and the body
}

// idempotencyKey takes the key of a publish from its body or its header.
func (s *Server) idempotencyKey(req *request, given members, inBody string) (keyed, *refusal) {
	headers := req.ctx.Request.Header.PeekAll(headerKey)
	if given&hasKey == 0 && len(headers) == 0 {
		return keyed{}, nil
	}
	if !s.router.Keeps() {
		return keyed{}, refuse(400, codeBadKey, "an idempotency key cannot be honoured: this server keeps no replay log to remember it in; set enabled = true under [replay], or leave the key out")
	}
	key := inBody
	for i, h := range headers {
		if i == 0 && given&hasKey == 0 {
			key = string(h)
		}
		if string(h) != key {
			return keyed{}, refuse(400, codeBadKey, "two different idempotency keys are given: use one, as idempotency_key or as the header "+headerKey)
		}
	}
	if !validKey(key) {
		return keyed{}, refuse(400, codeBadKey, "idempotency key "+shown(key)+" must be 1 to 128 visible ASCII characters, without blanks")
	}
	return keyed{key, sumOf(req.route, req.ctx.Request.Body())}, nil
}

// validKey is ^[\x21-\x7e]{1,128}$.
func validKey(key string) bool {
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return key != "" && len(key) <= maxKey
}

// sumOf is the hash by which requests with the same key are compared.
func sumOf(rt route, body []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte(rt.String()))
	h.Write([]byte{0})
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// id names the key among those of all applications.
func (k keyed) id(app *router.App) string { return app.ID() + "\x00" + k.key }

// event is the key under which the log keeps the index-th event of the request in
// each of its channels; nil without a key:
//
//	SHA-256( application | 0x00 | key | 0x00 | sum 32 | index uint32 BE )
//
// The sum is in it so that a key that comes back with another body, after its answer
// was lost, never makes an event that nobody published a duplicate; the index, so
// that two events of a batch for one channel are told apart. Neither an application's
// id nor a key holds 0x00.
func (k keyed) event(app *router.App, index int) []byte {
	if k.key == "" {
		return nil
	}
	h := sha256.New()
	h.Write([]byte(app.ID()))
	h.Write([]byte{0})
	h.Write([]byte(k.key))
	h.Write([]byte{0})
	h.Write(k.sum[:])
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(index))) //nolint:gosec // at most the events of a batch
	return h.Sum(nil)
}

// claim comes before a publish. Without a key it only asks whether the server still
// publishes. With one, what was answered before is answered again, and nobody else
// publishes under the key until release, which the caller owes when claim returns
// neither answered nor a refusal.
//
// The order is what a crash cannot undo: first the key is bound to the request in the
// log, then the events are published under it, last the answer is stored. Whoever
// comes after the crash finds the binding, so another body is refused, and the same
// one reaches just the channels that lack it.
func (s *Server) claim(req *request, k keyed) (answered bool, r *refusal) {
	if k.key == "" {
		return false, s.refuseDraining()
	}
	if !s.underWay.enter(k.id(req.app), s.keyPatience) {
		r := refuse(409, codeInProgress, "a request with this idempotency key is being served: ask again in a second for its answer")
		r.retryAfter = retrySoon
		return false, r
	}
	answered, r = s.answerAgain(req, k)
	if r == nil && !answered {
		r = s.refuseDraining()
	}
	if r != nil || answered {
		s.release(req, k)
		return answered, r
	}
	s.note(req, k, statusOpen, nil)
	return false, nil
}

// release ends a claim.
func (s *Server) release(req *request, k keyed) {
	if k.key != "" {
		s.underWay.leave(k.id(req.app))
	}
}

// settle answers a publish that was claimed.
func (s *Server) settle(req *request, k keyed, body []byte) {
	s.note(req, k, fasthttp.StatusOK, body)
	req.ctx.Response.SetBodyRaw(body)
}

// answerAgain gives the answer that the key's request got before, if it got one.
func (s *Server) answerAgain(req *request, k keyed) (answered bool, r *refusal) {
	sum, status, body, found, err := s.router.Answered(req.app, []byte(k.key))
	switch {
	case err != nil:
		r := refuse(503, codeLogUnavailable, "the log cannot tell whether this idempotency key was used: nothing was published; try again in a second")
		r.retryAfter = retrySoon
		return false, r
	case !found:
		return false, nil
	case sum != k.sum:
		return false, refuse(409, codeMismatch, "this idempotency key was used for another request: nothing was published; a key belongs to one body")
	case status == statusOpen:
		return false, nil
	}
	req.ctx.Response.Header.Set(headerReplayed, "true")
	req.ctx.SetStatusCode(status)
	req.ctx.Response.SetBodyRaw(body)
	return true, nil
}

// note writes down what became of a key. A log that cannot write keeps keys as little
// as it keeps events, and live delivery goes on without it: a publish that is not to
// go on then is a durable one. An answer that is lost this way is made anew, from the
// events that are in the log.
func (s *Server) note(req *request, k keyed, status int, body []byte) {
	if k.key != "" {
		s.router.Answer(req.app, []byte(k.key), k.sum, status, body) //nolint:errcheck // as said
	}
}

// refuseDraining refuses to publish when the server is about to end.
func (s *Server) refuseDraining() *refusal {
	if !s.draining.Load() {
		return nil
	}
	r := refuse(503, codeDraining, "this server is about to end: publish to another one, or again in a second")
	r.retryAfter = retrySoon
	return r
}

// underWay is the set of idempotency keys whose requests are being served. Any
// goroutine. At most one entry a conversation.
type underWay struct {
	mu   sync.Mutex
	keys map[string]chan struct{} // closed when the request has its answer
}

// enter waits at most patience for the key to be free, and takes it.
func (u *underWay) enter(id string, patience time.Duration) bool {
	var tooLong <-chan time.Time
	for {
		answered := u.take(id)
		if answered == nil {
			return true
		}
		if tooLong == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			tooLong = timer.C
		}
		select {
		case <-answered:
		case <-tooLong:
			return false
		}
	}
}

// take takes a free key, or returns what is closed when it may be free.
func (u *underWay) take(id string) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if answered, taken := u.keys[id]; taken {
		return answered
	}
	if u.keys == nil {
		u.keys = map[string]chan struct{}{}
	}
	u.keys[id] = make(chan struct{})
	return nil
}

// leave frees a key that was entered.
func (u *underWay) leave(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.keys[id])
	delete(u.keys, id)
}
