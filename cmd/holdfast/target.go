package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
)

// targetFlags say which server and which app publish and tail talk to.
type targetFlags struct {
	URL       string  `name:"url" placeholder:"http://127.0.0.1:8080" help:"Server, with its path prefix if it has one; also https://… or unix:/path. Default: server.listen and server.path_prefix of the configuration."`
	Config    *string `placeholder:"holdfast.toml" help:"Configuration file to take the server and the app from. Without this flag ./holdfast.toml is read if it exists."`
	AppID     string  `name:"app-id" placeholder:"app-id" help:"App; alone, it chooses one of the configuration."`
	AppKey    string  `placeholder:"app-key" help:"Its key. Default: from the configuration."`
	AppSecret string  `placeholder:"app-secret" help:"Its secret. Others on this host can see it here; prefer HOLDFAST_APPS_SECRET or REVERB_APP_SECRET."`
}

// target is a server to talk to and the app to talk as.
type target struct {
	base *url.URL // http or https, with the path prefix and no final slash
	unix string   // path of a unix socket to connect to, "" for TCP
	app  config.App
}

// dialTimeout bounds connecting, TLS included.
const dialTimeout = 10 * time.Second

// resolve reads the configuration as a client and lets the flags win.
func (f *targetFlags) resolve(p *process) (*target, bool) {
	in := (&configFlags{Config: f.Config}).input(p.env)
	in.Client = true
	cfg, ok := p.load(in)
	if !ok {
		return nil, false
	}
	t := &target{}
	err := errors.Join(t.setServer(f.URL, cfg), t.setApp(f, cfg.Apps))
	if err != nil {
		fmt.Fprintf(p.err, "holdfast: %v\n", err)
		return nil, false
	}
	return t, true
}

func (t *target) setServer(given string, cfg *config.Config) error {
	if given == "" {
		given = serverURL(cfg)
	}
	if path, ok := strings.CutPrefix(given, "unix:"); ok {
		t.unix = path
		t.base = &url.URL{Scheme: "http", Host: "localhost", Path: cfg.Server.PathPrefix}
		return nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--url %q is not a URL such as http://127.0.0.1:8080", given)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--url %q may have a host, a port and a path only", given)
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	t.base = u
	return nil
}

// serverURL is where the configured server listens, as seen from this host.
func serverURL(cfg *config.Config) string {
	network, address, err := config.ListenAddress(cfg.Server.Listen)
	if err != nil || network == "unix" {
		return cfg.Server.Listen
	}
	host, port, _ := net.SplitHostPort(address)
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port) + cfg.Server.PathPrefix
}

// setApp takes the first configured app, or the one with the given id; key and
// secret from the flags win over it.
func (t *target) setApp(f *targetFlags, apps []config.App) error {
	known := false
	t.app = apps[0]
	if f.AppID != "" {
		t.app = config.App{ID: f.AppID}
		for _, app := range apps {
			if app.ID == f.AppID {
				t.app, known = app, true
			}
		}
	}
	if f.AppKey != "" {
		t.app.Key = f.AppKey
	}
	if f.AppSecret != "" {
		t.app.Secret = config.Secret(f.AppSecret)
	}
	switch {
	case t.app.Key != "" && t.app.Secret != "":
		return nil
	case f.AppID != "" && !known:
		return fmt.Errorf("app %q is not in the configuration: give --app-key and --app-secret too", f.AppID)
	case t.app.Key == "":
		return errors.New("the app has no key: give --app-key")
	case t.app.SecretFile != "":
		return fmt.Errorf("the secret of app %q is in %s, which cannot be read: give --app-secret or set HOLDFAST_APPS_SECRET", t.app.ID, t.app.SecretFile)
	}
	return errors.New("the app has no secret: give --app-secret")
}

// dial connects to the server, whatever address an HTTP client asks for if it
// is behind a unix socket.
func (t *target) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if t.unix != "" {
		network, address = "unix", t.unix
	}
	return d.DialContext(ctx, network, address)
}

// String names the server in messages.
func (t *target) String() string {
	if t.unix != "" {
		return "unix:" + t.unix
	}
	return t.base.String()
}
