package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/router/auth"
)

// Config is what the API needs to know. It is a value: New copies it.
type Config struct {
	// PathPrefix stands before every path of this listener, "" or "/ws" (key
	// server.path_prefix). It is removed before routing and is no part of the
	// path that a client signs. A request without it is not found.
	PathPrefix string

	// SessionIDs makes the socket ids that POST /app/{key}/session hands out. nil = the
	// server has no doors but WebSockets, and that path is not found.
	SessionIDs *auth.SessionIDs

	// Limits are the limits in force at the start; SetLimits replaces them.
	Limits Limits
}

// Limits are the reloadable limits of the API; each names its configuration key.
// All must be at least 1 but EventsPerSecond. The zero value is refused.
type Limits struct {
	RequestLineBytes int           // limits.request_line_bytes, 1 KiB to 64 KiB
	HeadBytes        int           // limits.head_bytes, 1 KiB to 64 KiB: all fields and the empty line
	HeadCount        int           // limits.head_count
	ChannelNameBytes int           // limits.channel_name_bytes
	EventNameBytes   int           // limits.event_name_bytes
	EventDataBytes   int           // limits.event_data_bytes: the decoded data string of one event
	BodyBytes        int           // limits.body_bytes: the request body as sent
	EventChannels    int           // limits.event_channels
	BatchEvents      int           // limits.batch_events
	EventsPerSecond  int           // limits.api_events_per_second, per app, burst of one second; 0 = no limit
	AuthWindow       time.Duration // limits.auth_window: the furthest auth_timestamp may be from this host's clock
}

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	if c.PathPrefix != "" && (!strings.HasPrefix(c.PathPrefix, "/") || strings.HasSuffix(c.PathPrefix, "/") || strings.ContainsAny(c.PathPrefix, "?#")) {
		faults = append(faults, fmt.Errorf("api: path prefix %q must begin with a slash and not end with one", c.PathPrefix))
	}
	return errors.Join(append(faults, c.Limits.Validate())...)
}

func (l *Limits) head() frame.HeadLimits {
	return frame.HeadLimits{LineBytes: l.RequestLineBytes, HeadBytes: l.HeadBytes, Count: l.HeadCount}
}

// Validate reports every fault of l, joined.
func (l Limits) Validate() error {
	var faults []error
	if l.RequestLineBytes < 1<<10 || l.RequestLineBytes > 64<<10 {
		faults = append(faults, fmt.Errorf("api: request line bytes are %d, bounds 1024 to 65536", l.RequestLineBytes))
	}
	if l.HeadBytes < 1<<10 || l.HeadBytes > 64<<10 {
		faults = append(faults, fmt.Errorf("api: head bytes are %d, bounds 1024 to 65536", l.HeadBytes))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"head count", int64(l.HeadCount)},
		{"channel name bytes", int64(l.ChannelNameBytes)},
		{"event name bytes", int64(l.EventNameBytes)},
		{"event data bytes", int64(l.EventDataBytes)},
		{"body bytes", int64(l.BodyBytes)},
		{"event channels", int64(l.EventChannels)},
		{"batch events", int64(l.BatchEvents)},
		{"auth window", int64(l.AuthWindow)},
	} {
		if f.value < 1 {
			faults = append(faults, fmt.Errorf("api: %s must be at least 1, got %d", f.name, f.value))
		}
	}
	if l.EventsPerSecond < 0 {
		faults = append(faults, fmt.Errorf("api: events per second must not be negative, got %d", l.EventsPerSecond))
	}
	return errors.Join(faults...)
}
