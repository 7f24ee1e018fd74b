package api

import (
	"bytes"
	"errors"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Publisher is the router as requests see it that change something.
type Publisher interface {
	// Publish may keep ev. An error means that nothing was delivered.
	Publish(app *router.App, ev *router.Event) error
	// PublishAll is for a router with a log. It may keep the events, and fills their
	// receipts. It returns when each has its place in its channels, and is on the disk
	// if it is durable. An error without one in a receipt means that nothing was
	// delivered.
	PublishAll(app *router.App, events []*router.Event) error
	// Terminate closes a user's connections, in a cluster those of all nodes.
	Terminate(app *router.App, userID string) error
}

// Directory finds applications.
type Directory interface {
	AppByID(id string) (*router.App, bool)
	AppByKey(key string) (*router.App, bool)
}

// Observer is the router as requests see it that ask.
type Observer interface {
	// In a cluster these are of all nodes; an error means that not all answered.
	InfoEverywhere(app *router.App, channel string, want router.Info) (router.ChannelInfo, error)
	// ChannelsEverywhere lists the occupied channels whose names begin with prefix, sorted.
	ChannelsEverywhere(app *router.App, prefix string, want router.Info) ([]router.NamedInfo, error)
	UsersEverywhere(app *router.App, channel string) ([]string, error)
	ConnectionsEverywhere(app *router.App) (int, error)
}

// Keeper is the router as requests see it that ask what was kept.
type Keeper interface {
	Keeps() bool // there is a log
	// KeepsDurably tells whether durable events are taken.
	KeepsDurably() bool
	Position(app *router.App, channel string) (at router.Position, kept bool, err error)
	// History reads events after a position; with epoch "" from the oldest on.
	History(app *router.App, channel, epoch string, from uint64, limit int) router.HistoryPage
}

// Answers is the router as requests with an idempotency key see it.
type Answers interface {
	Answered(app *router.App, key []byte) (sum [32]byte, status int, body []byte, found bool, err error)
	// Answer replaces what is stored under the key. It is never lost while an event is
	// kept that was published after it.
	Answer(app *router.App, key []byte, sum [32]byte, status int, body []byte) error
}

// Router is all that the API needs of the router.
type Router interface {
	Directory
	Publisher
	Observer
	Keeper
	Answers
}

var _ Router = (*router.Router)(nil)

const (
	contentType  = "application/json"
	serverHeader = "holdfast"
)

// Server answers the HTTP API on connections that it is given.
type Server struct {
	// Immutable after New.
	router  Router
	clock   func() time.Time
	start   time.Time // zero of the rate buckets' clock
	prefix  string
	metrics *metrics

	keyPatience time.Duration // keyPatience; only tests have less

	// Atomic; any goroutine. Written under changing.
	changing sync.Mutex
	limits   atomic.Pointer[Limits]
	http     atomic.Pointer[fasthttp.Server] // its read buffers hold a head of the limits

	// Atomic; any goroutine.
	draining atomic.Bool
	sessions atomic.Pointer[auth.SessionIDs] // nil = no doors

	// Concurrent.
	underWay underWay
	rates    sync.Map  // application id → *limit.Rate; entries for known applications only
	decoders sync.Pool // of *decoder
}

// New makes a Server. clock is the wall clock, read twice a request; only tests
// give another one than the process's own.
func New(cfg Config, r Router, clock func() time.Time) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{router: r, clock: clock, start: clock(), prefix: cfg.PathPrefix, metrics: newMetrics(), keyPatience: keyPatience}
	s.sessions.Store(cfg.SessionIDs)
	s.decoders.New = func() any { return new(decoder) }
	return s, s.SetLimits(cfg.Limits)
}

// newHTTP makes a fasthttp server, whose read buffers have a fixed size.
func (s *Server) newHTTP(readBuffer int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        s.serve,
		ErrorHandler:   s.fault,
		HeaderReceived: s.requestConfig,
		ExpectHandler:  s.expect,
		Name:           serverHeader,
		Logger:         silent{},

		// The caller bounds the conversations and their time; fasthttp's own
		// refusal at a bound would be plain text.
		Concurrency: math.MaxInt32,

		LazyRequestTime: true, // the clock of the API is another

		ReadBufferSize:               readBuffer,
		DisablePreParseMultipartForm: true, // a body is JSON, whatever its type says, and is never put into files
	}
}

// SetLimits replaces the limits: requests whose head comes after it see the new
// ones, but a head that is larger than the former limits is only read by a later
// ServeConn. Any goroutine. Invalid limits are refused as a whole.
func (s *Server) SetLimits(l Limits) error {
	if err := l.Validate(); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	// A head must fit the buffer whole. Heads of exactly the limits do.
	size := l.head().Max() + 1
	if now := s.http.Load(); now == nil || now.ReadBufferSize != size {
		s.http.Store(s.newHTTP(size))
	}
	s.limits.Store(&l)
	return nil
}

// SetSessionIDs replaces what makes session ids, when the applications have changed
// and the key with them. Any goroutine.
func (s *Server) SetSessionIDs(ids *auth.SessionIDs) { s.sessions.Store(ids) }

// Drain makes every later publish a 503 draining, and every later answer the
// last one of its conversation. It is for good. Any goroutine.
func (s *Server) Drain() { s.draining.Store(true) }

// Collector is the package's metrics, to be registered once.
func (s *Server) Collector() prometheus.Collector { return s.metrics }

// ServeConn serves one conversation: the requests of c, one after the other and
// pipelined ones too, until either side ends it. It blocks meanwhile, and closes
// c in the end. After a refusal that left a body unread, closing takes up to two
// seconds or 1 MiB of that body, so that the answer arrives.
//
// Deadlines are the caller's: a Read of c that fails with a timeout in the middle
// of a request is answered 408, between requests it ends the conversation with a
// nil error. The error is of no use but for counting: it is never about what a
// client sent well.
func (s *Server) ServeConn(c net.Conn) error {
	return s.http.Load().ServeConn(&conversation{Conn: c})
}

// requestConfig gives each request the body limit in force when its head came.
func (s *Server) requestConfig(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return fasthttp.RequestConfig{MaxRequestBodySize: s.limits.Load().BodyBytes}
}

// expect decides about a request that asks before it sends its body. fasthttp
// would go on with 100 Continue and only then look at the length. The response
// body that is set here is sent with the status returned: a test holds fasthttp
// to that, since its documentation does not.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	if r := s.bodyTooLarge(ctx); r != nil {
		s.metrics.count(routeOf(ctx, s.prefix), r.status)
		r.write(ctx)
		markUnread(ctx)
		return r.status
	}
	return fasthttp.StatusContinue
}

// bodyTooLarge is the refusal of a body by its declared length, or nil.
func (s *Server) bodyTooLarge(ctx *fasthttp.RequestCtx) *refusal {
	limit := s.limits.Load().BodyBytes
	if n := ctx.Request.Header.ContentLength(); n > limit {
		return overLimit(413, codeBodyTooLarge, "the request body is", int64(n), "bytes", int64(limit), "limits.body_bytes")
	}
	return nil
}

// fault answers what fasthttp could not make a request of. The conversation ends
// after it, and what else the client is sending is read and dropped.
func (s *Server) fault(ctx *fasthttp.RequestCtx, err error) {
	r := s.faultRefusal(ctx, err)
	s.metrics.count(routeOf(ctx, s.prefix), r.status)
	ctx.Response.Reset()
	ctx.Response.SkipBody = ctx.IsHead()
	r.write(ctx)
	if r.status != fasthttp.StatusRequestTimeout {
		markUnread(ctx)
	}
}

// markUnread says that request bytes may follow that nobody will read.
func markUnread(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*conversation); ok {
		c.unread.Store(true)
	}
}

func (s *Server) faultRefusal(ctx *fasthttp.RequestCtx, err error) *refusal {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		if r := s.bodyTooLarge(ctx); r != nil {
			return r
		}
		return overLimitUnmeasured(413, codeBodyTooLarge, "the request body is", "bytes", int64(s.limits.Load().BodyBytes), "limits.body_bytes")
	case errors.As(err, &small):
		return s.unendedHead(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return refuse(408, codeTimeout, "the request did not come whole in time")
	default:
		return refuse(400, codeBadRequest, "this is no HTTP/1.1 request that the API can read")
	}
}

// headTooLarge is the refusal of a head that is over a limit, or nil. fasthttp
// itself bounds no more than the sum of line and fields.
func headTooLarge(ctx *fasthttp.RequestCtx, l *Limits) *refusal {
	h := &ctx.Request.Header
	line := len(h.Method()) + len(h.RequestURI()) + len(h.Protocol()) + len("  ")
	raw := h.RawHeaders() // up to and with the empty line
	if over, is := l.head().Judge(line, len(raw), bytes.Count(raw, []byte("\n"))-1); is {
		return overHead(over)
	}
	return nil
}

// unendedHead is the refusal of a head that does not fit the buffer.
func (s *Server) unendedHead(ctx *fasthttp.RequestCtx) *refusal {
	lim := s.limits.Load().head()
	line, fields := lim.LineBytes+1, 0
	if c, ok := ctx.Conn().(*conversation); ok && c.lined {
		line, fields = c.line-len("\r\n"), lim.HeadBytes+1
	}
	over, _ := lim.Judge(line, fields, 0)
	return overHead(over)
}

// overHead is the answer that the doors before this server give to such a head.
func overHead(over frame.HeadOver) *refusal {
	return &refusal{
		status: 431, code: codeHeadTooLarge, text: over.Sentence(),
		limit: int64(over.Limit), actual: int64(over.Actual), knob: over.Knob,
	}
}

// routeOf is the metric label of a request that never became one.
func routeOf(ctx *fasthttp.RequestCtx, prefix string) route {
	return locate(string(ctx.Request.Header.RequestURI()), prefix).route
}

// silent is fasthttp's logger: what it would say is in the metrics.
type silent struct{}

func (silent) Printf(string, ...any) {}
