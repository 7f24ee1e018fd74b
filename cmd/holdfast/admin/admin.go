package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxConnections = 64
	maxScrapes     = 4
	maxHeadBytes   = 16 << 10
	headTimeout    = 5 * time.Second
	readTimeout    = 10 * time.Second
	idleTimeout    = 2 * time.Minute // longer than a usual scrape interval
	// writeTimeout is the longest profile and then some.
	writeTimeout = 75 * time.Second
)

// Options say what to serve to whom. Everything is immutable after New.
type Options struct {
	Hosts    []string            // admin.hosts
	Token    string              // "" = GET from this machine only
	Pprof    bool                // serve /debug/pprof
	Gatherer prometheus.Gatherer // /metrics
	Live     func() error        // /livez: nil while everything moves
	Ready    func() error        // /readyz: nil while connections are welcome
	Log      *slog.Logger
}

// Server is the admin listener's HTTP server.
type Server struct {
	http *http.Server
}

// New builds a server; Serve starts it.
func New(o Options) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             readTimeout,
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            scrapeErrors{o.Log},
	}))
	mux.Handle("GET /livez", probe(o.Live))
	mux.Handle("GET /readyz", probe(o.Ready))
	if o.Pprof {
		addPprof(mux)
	}
	return &Server{http: &http.Server{
		Handler:           newGuard(o.Hosts, o.Token).wrap(mux),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeadBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}}
}

// Serve answers on l until Shutdown, which also closes l. It returns nil then.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(bounded(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting, waits for open requests until ctx ends, then cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// probe answers 200 "ok", or 503 with the reason.
func probe(check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	})
}

// addPprof serves the profiles, one at a time of those that run for a while.
// /debug/pprof/cmdline is left out: the command line may hold a secret.
func addPprof(mux *http.ServeMux) {
	busy := make(chan struct{}, 1)
	single := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case busy <- struct{}{}:
				defer func() { <-busy }()
				h(w, r)
			default:
				http.Error(w, "another profile is being taken", http.StatusServiceUnavailable)
			}
		}
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", single(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", single(pprof.Trace))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
}

// scrapeErrors takes what promhttp has to say.
type scrapeErrors struct{ log *slog.Logger }

func (e scrapeErrors) Println(v ...any) {
	for _, x := range v {
		if err, ok := x.(error); ok {
			e.log.Error("metrics could not be gathered in full", "err", err)
			return
		}
	}
}
