package router

import (
	"fmt"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/router/auth"
)

// maxApps bounds the number of applications: a session names its own in two bytes.
const maxApps = 1 << 15

// App is one application. Its methods may be called from any goroutine.
type App struct {
	// Immutable.
	id    string
	index int // position in settings.apps

	// Behind their own locks.
	dir   directory
	users users

	// Atomic; any goroutine.
	conf        atomic.Pointer[appConf]
	connections atomic.Int64 // established
	published   [publishSources]atomic.Uint64
}

// appConf is what a reload replaces. Immutable once stored.
type appConf struct {
	AppConfig
	origins     auth.Origins
	credentials *auth.Credentials
}

func newApp(id string, index int) *App {
	return &App{id: id, index: index, dir: newDirectory()}
}

func newAppConf(cfg AppConfig) (*appConf, error) {
	origins, err := auth.CompileOrigins(cfg.Origins)
	if err != nil {
		return nil, fmt.Errorf("router: application %q: %w", cfg.ID, err)
	}
	return &appConf{AppConfig: cfg, origins: origins, credentials: auth.NewCredentials(cfg.Key, cfg.Secret)}, nil
}

// ID is the application's id, as in API paths.
func (a *App) ID() string { return a.id }

// Enabled tells whether the application serves anybody at all.
func (a *App) Enabled() bool { return a.conf.Load().Enabled }

// Credentials sign and verify in the application's name. They change at a reload.
func (a *App) Credentials() *auth.Credentials { return a.conf.Load().credentials }

// OriginAllowed tells whether pages of an origin may use the application; without an
// origin (nil) the client is no browser.
func (a *App) OriginAllowed(origin []byte) bool { return a.conf.Load().origins.Allowed(origin) }
