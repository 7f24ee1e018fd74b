package config

import (
	"slices"
	"testing"
	"time"
)

func TestReloaded(t *testing.T) {
	running := mustLoad(t, Input{File: writeFile(t, `
[server]
listen = "127.0.0.1:1000"
[logging]
level = "info"
`)})
	next := mustLoad(t, Input{File: writeFile(t, `
[server]
listen = "127.0.0.1:2000"
pong_timeout = "40s"
[limits]
fragments = 7
[logging]
level = "debug"
format = "json"
[[apps]]
id = "1"
key = "k"
secret = "s"
`), Env: []string{"HOLDFAST_ADMIN_TOKEN=0123456789abcdef"}})

	merged, changed, fixed, err := running.Reloaded(next)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"server.pong_timeout", "limits.fragments", "logging.level", "apps"}; !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if want := []string{"server.listen", "logging.format", "admin.token_file"}; !slices.Equal(fixed, want) {
		t.Errorf("fixed %v, want %v", fixed, want)
	}
	if merged.Server.Listen != "127.0.0.1:1000" || merged.Server.PongTimeout != 40*time.Second || merged.Apps[0].ID != "1" || merged.AdminToken != "" {
		t.Errorf("merged %+v", merged)
	}
	if running.Limits.Fragments != 64 || running.Apps[0].ID != "app-id" {
		t.Error("the running configuration was changed")
	}
}

// TestReloadedParts: each file is valid alone, what would run is not. The
// public address stays, the demo secret comes in.
func TestReloadedParts(t *testing.T) {
	own := []Flag{{"--app-id", "apps.id", "1"}, {"--app-key", "apps.key", "k"}, {"--app-secret", "apps.secret", "s"}}
	running := mustLoad(t, Input{Flags: append(own, Flag{"--listen", "server.listen", ":80"})})
	if _, _, _, err := running.Reloaded(mustLoad(t, Input{})); err == nil {
		t.Error("a public server took the demo app at a reload")
	}
}
