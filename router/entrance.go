package router

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/holdfast-edge/holdfast/frame"
)

// Protocol versions that are served; a client that names none is served as the
// newest.
const (
	oldestProtocol = 5
	newestProtocol = 7
)

// entrance decides whether a connection may be served. It returns the application,
// in which the connection is then counted, or nil and the reason.
//
// The checks go from what concerns the URL to what concerns the application, so a
// client hears of the fault that is nearest to it.
func (s *Shard) entrance(up *frame.Upgrade) (*App, frame.CloseReason) {
	key, ok := appKey(up.Path)
	if !ok {
		return nil, frame.BadPath
	}
	if reason, ok := protocolServed(up.RawQuery); !ok {
		return nil, reason
	}
	app, ok := s.r.AppByKey(string(key))
	if !ok {
		s.stats.failures.auth[authUnknownApp].Add(1)
		return nil, frame.UnknownApp
	}
	conf := app.conf.Load()
	if !conf.Enabled {
		s.stats.failures.auth[authAppDisabled].Add(1)
		return nil, frame.AppDisabled
	}
	if !conf.origins.Allowed(up.Origin) {
		s.stats.failures.auth[authOrigin].Add(1)
		return nil, frame.OriginRefused
	}
	if s.r.closing.Load() {
		// Not 4200: a client would come back at once, and again.
		return nil, frame.OverCapacity.With("server is shutting down")
	}
	n := app.connections.Add(1)
	if limit := int64(conf.MaxConnections); limit > 0 && n > limit {
		app.connections.Add(-1)
		s.stats.failures.limited[scopeConnections].Add(1)
		return nil, frame.OverCapacity.With(fmt.Sprintf("connections: %d, limit %d (apps.max_connections)", n, limit))
	}
	return app, frame.CloseReason{}
}

// appKey takes the key out of /app/{key}.
func appKey(path []byte) ([]byte, bool) {
	key, ok := bytes.CutPrefix(path, []byte("/app/"))
	if !ok || len(key) == 0 || bytes.IndexByte(key, '/') >= 0 {
		return nil, false
	}
	return key, true
}

// protocolServed reads the protocol parameter of the query. Without it the newest
// version is meant; the first one counts.
func protocolServed(query []byte) (frame.CloseReason, bool) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if string(name) != "protocol" {
			continue
		}
		// Digits only: a sign, a blank or an escape is no version.
		version, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return frame.BadVersion, false
		}
		if version < oldestProtocol || version > newestProtocol {
			return frame.UnsupportedVersion, false
		}
		return frame.CloseReason{}, true
	}
	return frame.CloseReason{}, true
}
