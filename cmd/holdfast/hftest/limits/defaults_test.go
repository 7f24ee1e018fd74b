package limits

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The values in force without a configuration are those of docs/limits.md.
func TestLimitDefaults(t *testing.T) {
	out, err := exec.Command(os.Getenv("HFTEST_BIN"), "config").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	section := ""
	for line := range strings.Lines(string(out)) {
		line, _, _ = strings.Cut(line, " #")
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.Trim(name, "[] \n")
		} else if key, value, ok := strings.Cut(line, " = "); ok {
			got[section+"."+key] = strings.Trim(value, "\" \n")
		}
	}
	for key, want := range map[string]string{
		"limits.handshake_timeout":         "5s",
		"limits.request_line_bytes":        "4KiB",
		"limits.head_bytes":                "8KiB",
		"limits.head_count":                "64",
		"admission.half_open_per_ip":       "1024",
		"admission.accept_rate":            "5000",
		"admission.max_connections":        "0",
		"admission.memory_bytes":           "0B",
		"apps.max_connections":             "0",
		"apps.allowed_origins":             `["*"]`,
		"limits.message_bytes":             "16KiB",
		"limits.fragments":                 "64",
		"limits.message_time":              "10s",
		"limits.frames_per_second":         "100",
		"limits.control_frames_per_second": "10",
		"limits.subscriptions":             "100",
		"limits.subscribes_per_second":     "100",
		"limits.client_events_per_second":  "10",
		"apps.client_events":               "members",
		"limits.channel_name_bytes":        "200",
		"limits.user_id_bytes":             "128",
		"limits.user_info_bytes":           "2KiB",
		"limits.presence_members":          "1000",
		"limits.watchlist":                 "100",
		"limits.event_name_bytes":          "200",
		"limits.event_data_bytes":          "10KiB",
		"limits.body_bytes":                "256KiB",
		"limits.event_channels":            "100",
		"limits.batch_events":              "10",
		"limits.auth_window":               "600s",
		"limits.api_events_per_second":     "0",
		"limits.durable_waiting":           "8192",
		"limits.recover_events":            "1000",
		"limits.door_channels":             "20",
		"limits.poll_wait":                 "25s",
		"limits.queue_bytes":               "64KiB",
		"limits.queue_messages":            "256",
		"server.activity_timeout":          "120s",
		"server.ping_grace":                "15s",
		"server.pong_timeout":              "30s",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, wanted %q", key, got[key], want)
		}
	}
}
