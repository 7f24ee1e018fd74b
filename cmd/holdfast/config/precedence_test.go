package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeFile puts a holdfast.toml into a directory of the test.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "holdfast.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustLoad(t *testing.T, in Input) *Config {
	t.Helper()
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// faultsOf returns the fault lines of a Load that must fail.
func faultsOf(t *testing.T, in Input) []string {
	t.Helper()
	_, err := Load(in)
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("want faults, got %v", err)
	}
	return strings.Split(faults.Error(), "\n")
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, `
[server]
listen = "127.0.0.1:1000"
path_prefix = "/file"
activity_timeout = "30s"
[limits]
body_bytes = "64KiB"
queue_messages = 100
`)
	listen := func(c *Config) any { return c.Server.Listen }
	cases := []struct {
		name string
		in   Input
		get  func(*Config) any
		want any
	}{
		{"default", Input{}, listen, "127.0.0.1:8080"},
		{"a file that need not exist", Input{File: "/nonexistent/holdfast.toml"}, listen, "127.0.0.1:8080"},
		{"file over default", Input{File: file}, listen, "127.0.0.1:1000"},
		{"alias over file", Input{File: file, Env: []string{"REVERB_SERVER_HOST=127.0.0.2", "REVERB_SERVER_PORT=2000"}}, listen, "127.0.0.2:2000"},
		{"the port alone keeps the file's host", Input{File: file, Env: []string{"REVERB_SERVER_PORT=2000"}}, listen, "127.0.0.1:2000"},
		{"the host alone keeps the file's port", Input{File: file, Env: []string{"REVERB_SERVER_HOST=::1"}}, listen, "[::1]:1000"},
		{"env over alias", Input{File: file, Env: []string{"HOLDFAST_SERVER_LISTEN=127.0.0.1:3000", "REVERB_SERVER_PORT=2000"}}, listen, "127.0.0.1:3000"},
		{"flag over env", Input{File: file, Env: []string{"HOLDFAST_SERVER_LISTEN=127.0.0.1:3000"}, Flags: []Flag{{"--listen", "server.listen", "127.0.0.1:4000"}}}, listen, "127.0.0.1:4000"},
		{"--set over a named flag", Input{Flags: []Flag{{"--listen", "server.listen", "127.0.0.1:4000"}}, Sets: []string{"server.listen=127.0.0.1:5000"}}, listen, "127.0.0.1:5000"},
		{"the later --set", Input{Sets: []string{"server.loops=1", "server.loops=2"}}, func(c *Config) any { return c.Server.Loops }, 2},
		{"an empty variable says empty", Input{File: file, Env: []string{"HOLDFAST_SERVER_PATH_PREFIX="}}, func(c *Config) any { return c.Server.PathPrefix }, ""},
		{"an empty alias says nothing", Input{File: file, Env: []string{"REVERB_SERVER_PATH="}}, func(c *Config) any { return c.Server.PathPrefix }, "/file"},
		{"alias of the path without slash", Input{Env: []string{"REVERB_SERVER_PATH=ws/"}}, func(c *Config) any { return c.Server.PathPrefix }, "/ws"},
		{"alias in seconds", Input{File: file, Env: []string{"REVERB_APP_ACTIVITY_TIMEOUT=45"}}, func(c *Config) any { return c.Server.ActivityTimeout }, 45 * time.Second},
		{"alias in bytes", Input{Env: []string{"REVERB_APP_MAX_MESSAGE_SIZE=10000"}}, func(c *Config) any { return c.Limits.MessageBytes }, Size(10000)},
		{"request size when larger", Input{File: file, Env: []string{"REVERB_MAX_REQUEST_SIZE=100000"}}, func(c *Config) any { return c.Limits.BodyBytes }, Size(100000)},
		{"request size when smaller", Input{File: file, Env: []string{"REVERB_MAX_REQUEST_SIZE=10000"}}, func(c *Config) any { return c.Limits.BodyBytes }, Size(64 << 10)},
		{"connections of the app", Input{Env: []string{"REVERB_APP_MAX_CONNECTIONS=7"}}, func(c *Config) any { return c.Apps[0].MaxConnections }, 7},
		{"Laravel's null says nothing", Input{Env: []string{"REVERB_APP_MAX_CONNECTIONS=null"}}, func(c *Config) any { return c.Apps[0].MaxConnections }, 0},
		{"client events of all", Input{Env: []string{"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM=all"}}, func(c *Config) any { return c.Apps[0].ClientEvents }, "members"},
		{"client events of none", Input{Env: []string{"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM=none"}}, func(c *Config) any { return c.Apps[0].ClientEventsOn() }, false},
		{"origins as host names", Input{Env: []string{"REVERB_APP_ALLOWED_ORIGINS=a.example, https://b.example"}}, func(c *Config) any { return strings.Join(c.Apps[0].AllowedOrigins, " ") }, "https://a.example http://a.example https://b.example"},
		{"a list in a variable", Input{Env: []string{"HOLDFAST_ADMIN_HOSTS=localhost, admin.example"}}, func(c *Config) any { return strings.Join(c.Admin.Hosts, " ") }, "localhost admin.example"},
		{"the rest of a .env is ignored", Input{Env: []string{"REVERB_SCALING_ENABLED=true", "REVERB_HOST=a.example", "REVERB_APP_PING_INTERVAL=60", "REVERB_NEW=1"}}, listen, "127.0.0.1:8080"},
		{"a section with a dot in its name", Input{Env: []string{"HOLDFAST_INGEST_REDIS_APP=app-id"}}, func(c *Config) any { return c.Ingest.App }, "app-id"},
		{"admin token", Input{Env: []string{"HOLDFAST_ADMIN_TOKEN=0123456789abcdef"}, Sets: []string{"admin.listen=0.0.0.0:9090"}}, func(c *Config) any { return c.AdminToken.Reveal() }, "0123456789abcdef"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.get(mustLoad(t, tc.in)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestBadEnvironmentAndFlags(t *testing.T) {
	cases := []struct {
		name string
		in   Input
		want string
	}{
		{"unknown variable", Input{Env: []string{"HOLDFAST_SERVER_LISTN=x"}}, "env HOLDFAST_SERVER_LISTN: unknown variable; the nearest known variable is HOLDFAST_SERVER_LISTEN"},
		{"variable without its section", Input{Env: []string{"HOLDFAST_DATA_DIR=x"}}, "env HOLDFAST_DATA_DIR: unknown variable; the nearest known variable is HOLDFAST_SERVER_DATA_DIR"},
		{"bad value in a variable", Input{Env: []string{"HOLDFAST_LIMITS_FRAGMENTS=many"}}, `env HOLDFAST_LIMITS_FRAGMENTS: limits.fragments = "many" is not a whole number`},
		{"bad value in an alias", Input{Env: []string{"REVERB_APP_ACTIVITY_TIMEOUT=5"}}, `env REVERB_APP_ACTIVITY_TIMEOUT (alias): server.activity_timeout = "5s" is out of bounds; use 10s to 600s`},
		{"alias that is no number", Input{Env: []string{"REVERB_MAX_REQUEST_SIZE=10k"}}, `env REVERB_MAX_REQUEST_SIZE (alias): "10k" is not a whole number of bytes, seconds or connections; correct or unset it`},
		{"bad value in a flag", Input{Flags: []Flag{{"--loops", "server.loops", "-1"}}}, `flag --loops: server.loops = "-1" is out of bounds; use 1 to 256, or 0 for one per core`},
		{"--set without a value", Input{Sets: []string{"server.loops"}}, `flag --set: "server.loops" has no "="; write --set section.key=value`},
		{"--set of an unknown key", Input{Sets: []string{"server.loop=1"}}, "flag --set: unknown key server.loop; the nearest known key is server.loops"},
		{"history by flag", Input{Sets: []string{"history.events=0"}}, "flag --set: [[history]] can be set in the file only; remove it"},
		{"file that must exist", Input{File: "/nonexistent/holdfast.toml", FileRequired: true}, "flag --config: open /nonexistent/holdfast.toml: no such file or directory; name a readable TOML file"},
		{"half an app", Input{Env: []string{"REVERB_APP_ID=1", "REVERB_APP_KEY=k"}}, "configuration: app has no secret; set id, key and secret (or secret_file) of [[apps]] together, in the file, by HOLDFAST_APPS_ and REVERB_APP_ variables or by --app-id, --app-key, --app-secret"},
		{"demo app on every address", Input{Flags: []Flag{{"--listen", "server.listen", "0.0.0.0:80"}}}, `flag --listen: server.listen = "0.0.0.0:80" is not a loopback address and app "app-id" has the demo secret that everybody knows; set id, key and secret of the app, listen on 127.0.0.1, or start with --dev to accept the risk`},
		{"token given twice", Input{Env: []string{"HOLDFAST_ADMIN_TOKEN=0123456789abcdef", "HOLDFAST_ADMIN_TOKEN_FILE=/run/token"}}, "env HOLDFAST_ADMIN_TOKEN: admin.token_file is set too, by env HOLDFAST_ADMIN_TOKEN_FILE; unset one of them"},
		{"short token", Input{Env: []string{"HOLDFAST_ADMIN_TOKEN=letmein"}}, "env HOLDFAST_ADMIN_TOKEN: the admin token has 7 bytes, at least 16 are needed; use a longer one, such as the output of: openssl rand -hex 32"},
		{"echo path", Input{EchoPath: "echo"}, `flag --echo-path: "echo" is not a plain path; write a path such as "/echo"`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := faultsOf(t, tc.in)
			if len(got) != 1 || got[0] != tc.want {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), tc.want)
			}
		})
	}
}

func TestDemoCredentials(t *testing.T) {
	public := Flag{"--listen", "server.listen", ":8080"}
	own := []Flag{public, {"--app-id", "apps.id", "1"}, {"--app-key", "apps.key", "k"}, {"--app-secret", "apps.secret", "s"}}
	demo := []Flag{public, {"--app-id", "apps.id", "app-id"}, {"--app-key", "apps.key", "app-key"}, {"--app-secret", "apps.secret", "app-secret"}}
	cases := []struct {
		name    string
		in      Input
		refused bool
	}{
		{"none, loopback", Input{}, false},
		{"none, unix socket", Input{Flags: []Flag{{"--listen", "server.listen", "unix:/run/holdfast.sock"}}}, false},
		{"none, IPv6 loopback", Input{Flags: []Flag{{"--listen", "server.listen", "[::1]:8080"}}}, false},
		{"none, public", Input{Flags: []Flag{public}}, true},
		{"none, public by name", Input{Flags: []Flag{{"--listen", "server.listen", "host.example:8080"}}}, true},
		{"none, public, --dev", Input{Flags: []Flag{public}, Dev: true}, false},
		{"none, public, as a client", Input{Flags: []Flag{public}, Client: true}, false},
		{"own, public", Input{Flags: own}, false},
		{"demo spelled out, public", Input{Flags: demo}, true},
		{"demo spelled out, public, --dev", Input{Flags: demo, Dev: true}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Load(tc.in); (err != nil) != tc.refused {
				t.Errorf("refused %v, want %v: %v", err != nil, tc.refused, err)
			}
		})
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	app := func(path string) Input {
		return Input{Env: []string{"HOLDFAST_APPS_ID=1", "HOLDFAST_APPS_KEY=k", "HOLDFAST_APPS_SECRET_FILE=" + path}}
	}
	good := put("good", "correct horse\n")

	c := mustLoad(t, app(good))
	if got := c.Apps[0].Secret.Reveal(); got != "correct horse" {
		t.Errorf("secret %q", got)
	}
	for name, text := range map[string]string{"empty": "", "blank": "\n", "two": "a\nb\n", "huge": strings.Repeat("x", 5000)} {
		if got := faultsOf(t, app(put(name, text))); !strings.Contains(got[0], "apps.secret_file of app \"1\"") {
			t.Errorf("%s: %v", name, got)
		}
	}
	t.Log("a secret of a higher rank wins over a secret_file")
	in := app(good)
	in.Flags = []Flag{{"--app-secret", "apps.secret", "other"}}
	if got := mustLoad(t, in).Apps[0].Secret.Reveal(); got != "other" {
		t.Errorf("secret %q", got)
	}
	t.Log("a client need not be able to read it")
	in = app(filepath.Join(dir, "missing"))
	in.Client = true
	if got := mustLoad(t, in).Apps[0].Secret; got != "" {
		t.Error("secret of a missing file is not empty")
	}
	t.Log("the token's file")
	in = Input{Env: []string{"HOLDFAST_ADMIN_TOKEN_FILE=" + put("token", "0123456789abcdef")}}
	if got := mustLoad(t, in).AdminToken.Reveal(); got != "0123456789abcdef" {
		t.Errorf("token %q", got)
	}
}

func TestWarnings(t *testing.T) {
	c := mustLoad(t, Input{Sets: []string{"limits.event_data_bytes=1MiB", "server.listen=:80"}, Dev: true})
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, w.Knob)
	}
	want := []string{"apps.allowed_origins", "apps.secret", "limits.body_bytes", "limits.queue_bytes"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
