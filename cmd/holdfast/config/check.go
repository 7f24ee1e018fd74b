package config

import (
	"fmt"
	"strings"

	"github.com/holdfast-edge/holdfast/router/auth"
)

// demoSecret is the secret that every reader of the documentation knows.
const demoSecret = "app-secret"

// minTokenBytes is the shortest admin token: shorter ones can be guessed.
const minTokenBytes = 16

// check applies the rules that one key's bounds cannot say. client leaves out
// those about being a server.
func (c *Config) check(faults *Faults, client bool) {
	c.checkServer(faults)
	c.checkApps(faults)
	c.checkHistory(faults)
	c.checkRedis(faults)
	if !client {
		c.checkAdmin(faults)
		c.checkDemo(faults)
	}
}

// where is the place to look at for a key: its origin, or the key itself where
// the default is meant.
func (c *Config) where(at string) string {
	if o := c.prov.of(at); o.rank != rankDefault {
		return o.where()
	}
	return "configuration"
}

func (c *Config) checkServer(faults *Faults) {
	if _, _, err := ListenAddress(c.Server.Listen); err != nil {
		faults.add(c.where("server.listen"), `such as "127.0.0.1:8080"`, "server.listen = %s %v", quote(c.Server.Listen), err)
	}
	if !validPath(c.Server.PathPrefix) {
		faults.add(c.where("server.path_prefix"), `write "" or a path such as "/ws", without a final slash`,
			"server.path_prefix = %s is not a plain path", quote(c.Server.PathPrefix))
	}
	if c.Server.DataDir == "" {
		faults.add(c.where("server.data_dir"), `write a directory such as "./data"`, "server.data_dir is empty")
	}
	if c.EchoPath != "" && !validPath(c.EchoPath) {
		faults.add("flag --echo-path", `write a path such as "/echo"`, "%s is not a plain path", quote(c.EchoPath))
	}
}

// validPath accepts "" and absolute paths of unreserved characters without
// empty segments: what needs no escaping means the same to every proxy.
func validPath(path string) bool {
	if path == "" {
		return true
	}
	if len(path) > 256 || path[0] != '/' {
		return false
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		for i := range len(segment) {
			if c := segment[i]; !isAlphanumeric(c) && strings.IndexByte("-._~", c) < 0 {
				return false
			}
		}
	}
	return true
}

func (c *Config) checkApps(faults *Faults) {
	ids, keys := map[string]bool{}, map[string]bool{}
	for i, app := range c.Apps {
		at := func(name string) string { return c.where(fmt.Sprintf("apps[%d].%s", i, name)) }
		if !validName(app.ID) {
			faults.add(at("id"), "use 1 to 128 letters, digits and -._~", "apps.id = %s cannot stand in a path", quote(app.ID))
		}
		if !validName(app.Key) {
			faults.add(at("key"), "use 1 to 128 letters, digits and -._~", "apps.key = %s cannot stand in a path", quote(app.Key))
		}
		if app.Secret == "" && app.SecretFile == "" {
			faults.add(at("secret"), "set secret or secret_file", "apps.secret of app %s is empty", quote(app.ID))
		}
		if ids[app.ID] {
			faults.add(at("id"), "give every app its own id", "apps.id = %s appears twice", quote(app.ID))
		}
		if keys[app.Key] {
			faults.add(at("key"), "give every app its own key", "apps.key = %s appears twice", quote(app.Key))
		}
		ids[app.ID], keys[app.Key] = true, true
		for _, origin := range app.AllowedOrigins {
			if _, err := auth.CompileOrigins([]string{origin}); err != nil {
				faults.add(at("allowed_origins"), `write "*", "https://a.example" or "https://*.a.example"`,
					"apps.allowed_origins: %s", strings.TrimPrefix(err.Error(), "auth: "))
			}
		}
	}
}

// checkHistory checks what holds between the rules, and between them and the log.
func (c *Config) checkHistory(faults *Faults) {
	for i, h := range c.History {
		at := func(name string) string { return c.where(fmt.Sprintf("history[%d].%s", i, name)) }
		if h.Match == "" || len(h.Match) > 256 {
			faults.add(at("match"), `write a pattern such as "chat-*"`, "history.match has %d bytes, 1 to 256 are possible", len(h.Match))
		}
		if h.Age > c.Replay.HeadAge {
			faults.add(at("age"), "raise replay.head_age", "history.age = %s is longer than replay.head_age = %s", h.Age, c.Replay.HeadAge)
		}
	}
	if last := len(c.History) - 1; c.History[last].Match != "*" {
		faults.add(c.where(fmt.Sprintf("history[%d].match", last)), `add a last rule with match = "*"`, `the last [[history]] rule matches %s, it must match "*"`, quote(c.History[last].Match))
	}
}

// validName accepts what may stand in a URL path unescaped.
func validName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte("-._~", c) < 0 {
			return false
		}
	}
	return true
}

func (c *Config) checkAdmin(faults *Faults) {
	for _, host := range c.Admin.Hosts {
		if !validHost(strings.Trim(host, "[]")) || host == "" {
			faults.add(c.where("admin.hosts"), `write names without a port, such as "localhost" or "[::1]"`, "admin.hosts has %s", quote(host))
		}
	}
	if c.AdminToken != "" && len(c.AdminToken) < minTokenBytes {
		faults.add(c.tokenWhere(), "use a longer one, such as the output of: openssl rand -hex 32", "the admin token has %d bytes, at least %d are needed", len(c.AdminToken), minTokenBytes)
	}
	if c.Admin.Listen == "" {
		return
	}
	if _, _, err := ListenAddress(c.Admin.Listen); err != nil {
		faults.add(c.where("admin.listen"), `such as "127.0.0.1:9090", or "" for none`, "admin.listen = %s %v", quote(c.Admin.Listen), err)
		return
	}
	if c.AdminToken == "" && !Loopback(c.Admin.Listen) {
		faults.add(c.where("admin.listen"), "set admin.token_file or "+envAdminToken+", or listen on 127.0.0.1",
			"admin.listen = %s is not a loopback address and there is no admin token", quote(c.Admin.Listen))
	}
	if c.Admin.Listen == c.Server.Listen && !strings.HasSuffix(c.Server.Listen, ":0") {
		faults.add(c.where("admin.listen"), "give each its own port", "admin.listen and server.listen are both %s", quote(c.Admin.Listen))
	}
}

func (c *Config) tokenWhere() string {
	if c.Admin.TokenFile != "" {
		return c.Admin.TokenFile
	}
	return "env " + envAdminToken
}

// checkDemo keeps well-known credentials off public addresses.
func (c *Config) checkDemo(faults *Faults) {
	if _, _, err := ListenAddress(c.Server.Listen); err != nil || c.Dev || Loopback(c.Server.Listen) {
		return
	}
	for _, app := range c.Apps {
		if app.Secret == demoSecret {
			faults.add(c.where("server.listen"),
				"set id, key and secret of the app, listen on 127.0.0.1, or start with --dev to accept the risk",
				"server.listen = %s is not a loopback address and app %s has the demo secret that everybody knows", quote(c.Server.Listen), quote(app.ID))
		}
	}
}

// Warning is something that works and deserves a look at every start.
type Warning struct {
	Msg    string
	App    string // "" = no app in particular
	Knob   string // the key to change
	Limit  string // of a pair of sizes that do not fit, the smaller
	Actual string // and the larger
}

// Warnings lists what to log at start and after a reload.
func (c *Config) Warnings() []Warning {
	var ws []Warning
	for _, app := range c.Apps {
		for _, origin := range app.AllowedOrigins {
			if origin == "*" {
				ws = append(ws, Warning{Msg: "pages of every origin may connect", App: app.ID, Knob: "apps.allowed_origins"})
				break
			}
		}
		if c.Dev && app.Secret == demoSecret && !Loopback(c.Server.Listen) {
			ws = append(ws, Warning{Msg: "demo credentials on a public address: anyone may publish", App: app.ID, Knob: "apps.secret"})
		}
	}
	l := &c.Limits
	if l.EventDataBytes > l.BodyBytes {
		ws = append(ws, Warning{Msg: "an event of the largest size does not fit a request body", Knob: "limits.body_bytes",
			Limit: sizeText(int64(l.BodyBytes)), Actual: sizeText(int64(l.EventDataBytes))})
	}
	if l.EventDataBytes > l.QueueBytes {
		ws = append(ws, Warning{Msg: "one event of the largest size overflows the queue of a slow connection", Knob: "limits.queue_bytes",
			Limit: sizeText(int64(l.QueueBytes)), Actual: sizeText(int64(l.EventDataBytes))})
	}
	return ws
}

// String is the warning in one line for a terminal.
func (w Warning) String() string {
	text := w.Msg
	if w.App != "" {
		text += ", app " + quote(w.App)
	}
	if w.Limit != "" {
		text += " (" + w.Actual + ", limit " + w.Limit + ")"
	}
	return text + ": " + w.Knob
}
