package main

import (
	"context"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
)

// Runtime is the server behind serve: loops, router and HTTP API. One goroutine
// calls Start, Reload and Stop; Live and Ready are called from any.
type Runtime interface {
	// Start returns when connections are accepted. ctx ends at the step's deadline.
	Start(ctx context.Context) error
	// Reload applies cfg, which differs from the running configuration only in
	// keys that can be changed. On an error the running one stays whole.
	Reload(cfg *config.Config) error
	// Stop stops accepting, tells every client to come back (4200), flushes and
	// closes. It returns by the end of ctx, with an error if it was cut short.
	Stop(ctx context.Context) error
	// Live is nil while every loop and wheel moves; it feeds /livez and the
	// service manager's watchdog.
	Live() error
	// Ready is nil while new connections are welcome.
	Ready() error
}
