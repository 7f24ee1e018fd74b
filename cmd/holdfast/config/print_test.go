package config

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPrintGolden pins the whole output for a configuration that has every
// kind of source.
func TestPrintGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	files := map[string]string{
		"token": "0123456789abcdef0123",
		"holdfast.toml": `
[server]
listen = "0.0.0.0:8000"
compression = "off"
[limits]
queue_bytes = "128KiB"
[admin]
token_file = "token"
[[apps]]
id = "shop"
key = "shop-key"
secret = "frst-scrt"
allowed_origins = ["https://a.example", "https://*.a.example"]
[[apps]]
id = "blog"
key = "blog-key"
secret_file = "token"
`}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := mustLoad(t, Input{
		File:  "holdfast.toml",
		Env:   []string{"HOLDFAST_APPS_SECRET=scnd-scrt", "REVERB_SERVER_PORT=8001", "HOLDFAST_LIMITS_CACHE_TTL=90m"},
		Flags: []Flag{{"--listen", "server.listen", "127.0.0.1:8002"}, {"--app-secret", "apps.secret", "thrd-scrt"}},
		Sets:  []string{"logging.level=debug"},
	})
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"frst-scrt", "scnd-scrt", "thrd-scrt", "0123456789abcdef"} {
		if bytes.Contains(out.Bytes(), []byte(secret)) {
			t.Errorf("the output shows the secret %q", secret)
		}
	}
	compareGolden(t, "config.golden.toml", out.Bytes())

	t.Log("the output is TOML with the same values")
	var doc map[string]any
	if err := toml.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc["limits"].(map[string]any)["queue_bytes"]; got != "128KiB" {
		t.Errorf("queue_bytes %v", got)
	}
}

// testdataDir is absolute, since the golden test changes its directory.
var testdataDir, _ = filepath.Abs("testdata")

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(testdataDir, name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", name, got)
	}
}

// TestPrintedDefaultsLoadAgain: what "config" prints for the defaults, less
// the secret's placeholder, is a file with the same values.
func TestPrintedDefaultsLoadAgain(t *testing.T) {
	var out bytes.Buffer
	if err := Default().Print(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(out.String(), `secret = "(set)"`, `secret = "app-secret"`, 1)
	again := mustLoad(t, Input{File: writeFile(t, text), FileRequired: true})
	_, changed, fixed, err := Default().Reloaded(again)
	if err != nil || len(changed)+len(fixed) > 0 {
		t.Errorf("changed %v, fixed %v, err %v", changed, fixed, err)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	app := App{ID: "1", Key: "k", Secret: "hunter2"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", app, "s", app.Secret)
	for _, text := range []string{fmt.Sprint(app), fmt.Sprintf("%+v", app), fmt.Sprintf("%#v", app), fmt.Sprintf("%q", app.Secret), log.String()} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "(set)") {
			t.Errorf("printed: %s", text)
		}
	}
	if Secret("").String() != "" {
		t.Error("an empty secret shows as set")
	}
}

func TestQuoteIsTOML(t *testing.T) {
	for _, s := range []string{"", "plain", `a"b\c`, "tab\tbell\anul\x00", "žluť\u2028", "\U000e0001"} {
		var doc struct{ V string }
		if err := toml.Unmarshal([]byte("V = "+quote(s)), &doc); err != nil || doc.V != s {
			t.Errorf("%q: got %q, %v", s, doc.V, err)
		}
	}
}
