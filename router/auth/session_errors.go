package auth

import "errors"

var (
	// ErrSessionExpired is returned for a session id whose time is over.
	ErrSessionExpired = errors.New("auth: session id has expired")

	// ErrSessionForged is returned for what is no session id under this key.
	ErrSessionForged = errors.New("auth: not a session id of this server")
)
