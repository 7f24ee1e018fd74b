package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	const shop = `
[[apps]]
id = "blog"
key = "blog-key"
secret = "blog-secret"
[[apps]]
id = "shop"
key = "shop-key"
secret = "shop-secret"
`
	reply := func(status int, body string) func(http.ResponseWriter, map[string]any) {
		return func(w http.ResponseWriter, _ map[string]any) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	cases := []struct {
		name   string
		secret string // of the server, default app-secret
		file   string
		env    []string
		in     string
		args   []string // {url} stands for the server
		answer func(http.ResponseWriter, map[string]any)
		code   int
		body   string // what the server got, "" for nothing
		stdout string
		stderr string // part of it; {url} stands for the server
	}{
		{name: "demo app", args: []string{"--url={url}", "news", "price", `{"p":9}`},
			body: `{"channels":["news"],"data":"{\"p\":9}","name":"price","path":"/apps/app-id/events"}`, stdout: "{}\n"},
		{name: "everything", args: []string{"--url={url}/ws/", "--channel=presence-a", "--channel=b,c", "--socket-id=1.2", "--info=user_count", "news", `App\Events\X`, "<&>"},
			answer: reply(200, `{"channels":{"presence-a":{"user_count":2}}}`+"\n"),
			body:   `{"channels":["news","presence-a","b,c"],"data":"<&>","info":"user_count","name":"App\\Events\\X","path":"/ws/apps/app-id/events","socket_id":"1.2"}`,
			stdout: `{"channels":{"presence-a":{"user_count":2}}}` + "\n"},
		{name: "data from standard input", in: "line\nline", args: []string{"--url={url}", "news", "price", "-"},
			body: `{"channels":["news"],"data":"line\nline","name":"price","path":"/apps/app-id/events"}`, stdout: "{}\n"},
		{name: "first app of the file", secret: "blog-secret", file: shop, args: []string{"--url={url}", "a", "b", "c"},
			body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/blog/events"}`, stdout: "{}\n"},
		{name: "an app chosen by id", secret: "shop-secret", file: shop, args: []string{"--url={url}", "--app-id=shop", "a", "b", "c"},
			body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/shop/events"}`, stdout: "{}\n"},
		{name: "app from Laravel's variables", secret: "s3cret", env: []string{"REVERB_APP_ID=7", "REVERB_APP_KEY=k", "REVERB_APP_SECRET=s3cret"}, args: []string{"--url={url}", "a", "b", "c"},
			body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/7/events"}`, stdout: "{}\n"},
		{name: "app from flags", secret: "s", args: []string{"--url={url}", "--app-id=9", "--app-key=k", "--app-secret=s", "a", "b", "c"},
			body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/9/events"}`, stdout: "{}\n"},
		{name: "server from the configuration", env: []string{"REVERB_SERVER_HOST=0.0.0.0", "REVERB_SERVER_PORT={port}", "REVERB_SERVER_PATH=ws"}, args: []string{"a", "b", "c"},
			body: `{"channels":["a"],"data":"c","name":"b","path":"/ws/apps/app-id/events"}`, stdout: "{}\n"},
		{name: "wrong secret", secret: "other", args: []string{"--url={url}", "a", "b", "c"}, code: 1,
			stderr: "holdfast publish: {url} answered 401 bad_signature: signature does not match (--app-key and --app-secret must be those of the server)\n"},
		{name: "a limit of the server", args: []string{"--url={url}", "a", "b", "c"}, code: 1, body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/app-id/events"}`,
			answer: reply(413, `{"error":"event data is 2 bytes, limit 1: raise limits.event_data_bytes","code":"data_too_large","status":413}`),
			stderr: "answered 413 data_too_large: event data is 2 bytes, limit 1: raise limits.event_data_bytes\n"},
		{name: "another kind of server", args: []string{"--url={url}", "a", "b", "c"}, code: 1, body: `{"channels":["a"],"data":"c","name":"b","path":"/apps/app-id/events"}`,
			answer: reply(302, "moved"), stderr: `answered 302 and not as a Pusher server does: "moved"`},
		{name: "nothing listens", args: []string{"--url=http://127.0.0.1:1", "a", "b", "c"}, code: 1,
			stderr: "holdfast publish: nothing listens on http://127.0.0.1:1; is the server running there? (--url)\n"},
		{name: "no URL", args: []string{"--url=127.0.0.1:8080", "a", "b", "c"}, code: 2, stderr: `--url "127.0.0.1:8080" is not a URL such as http://127.0.0.1:8080`},
		{name: "URL with a password", args: []string{"--url=http://u:p@h", "a", "b", "c"}, code: 2, stderr: "may have a host, a port and a path only"},
		{name: "unknown app", args: []string{"--url={url}", "--app-id=nope", "a", "b", "c"}, code: 2, stderr: `app "nope" is not in the configuration: give --app-key and --app-secret too`},
		{name: "secret that cannot be read", env: []string{"HOLDFAST_APPS_ID=1", "HOLDFAST_APPS_KEY=k", "HOLDFAST_APPS_SECRET_FILE=/nonexistent"}, args: []string{"--url={url}", "a", "b", "c"}, code: 2,
			stderr: `the secret of app "1" is in /nonexistent, which cannot be read`},
		{name: "fault of the configuration", env: []string{"HOLDFAST_X=1"}, args: []string{"a", "b", "c"}, code: 2, stderr: "env HOLDFAST_X: unknown variable"},
		{name: "too few arguments", args: []string{"a", "b"}, code: 2, stderr: `expected "<data>"`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			fake := startFake(t)
			if tc.secret != "" {
				fake.secret = tc.secret
			}
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(fake.url, "http://"))
			fill := strings.NewReplacer("{url}", fake.url, "{port}", port)
			got := ""
			answer := fake.answer
			if tc.answer != nil {
				answer = tc.answer
			}
			fake.answer = func(w http.ResponseWriter, body map[string]any) {
				b, err := marshal(body)
				if err != nil {
					t.Error(err)
				}
				got = string(b)
				answer(w, body)
			}
			s := newShell(t)
			s.in = strings.NewReader(tc.in)
			for _, e := range tc.env {
				s.env = append(s.env, fill.Replace(e))
			}
			if tc.file != "" {
				if err := os.WriteFile("holdfast.toml", []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"publish"}
			for _, a := range tc.args {
				args = append(args, fill.Replace(a))
			}
			code := s.run(args...)
			if code != tc.code || s.stdout.String() != tc.stdout || !strings.Contains(s.stderr.String(), fill.Replace(tc.stderr)) {
				t.Errorf("code %d, want %d\nstdout: %s\nstderr: %s", code, tc.code, s.stdout.String(), s.stderr.String())
			}
			if got != tc.body {
				t.Errorf("the server got\n  %s, want\n  %s", got, tc.body)
			}
			if strings.Contains(s.stderr.String(), "auth_signature") {
				t.Errorf("the message shows a signature: %s", s.stderr.String())
			}
		})
	}
}

func TestPublishThroughAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fake := startFakeServer(t, l)
	var got map[string]any
	fake.answer = func(w http.ResponseWriter, body map[string]any) { got = body; io.WriteString(w, "{}") }
	for _, args := range [][]string{{"--url=unix:" + path}, nil} {
		s := newShell(t)
		s.env = []string{"HOLDFAST_SERVER_LISTEN=unix:" + path}
		if code := s.run(append([]string{"publish", "a", "b", "c"}, args...)...); code != 0 || got["name"] != "b" {
			t.Errorf("code %d: %s; server got %v", code, s.stderr.String(), got)
		}
	}
}

func TestMarshalKeepsEveryByte(t *testing.T) {
	for _, data := range []string{"<script>&amp;", "\u2028", `{"a":"\u003c"}`, ""} {
		b, err := marshal(eventBody{Data: data})
		var back eventBody
		if err != nil || json.Unmarshal(b, &back) != nil || back.Data != data {
			t.Errorf("%q became %s, %v", data, b, err)
		}
	}
}
