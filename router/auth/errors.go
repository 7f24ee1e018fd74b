package auth

import "errors"

var (
	// ErrKey is returned when what was signed names another application key.
	ErrKey = errors.New("auth: not the key of this application")

	// ErrSignature is returned when the signature is absent from a subscription or
	// sign-in, or is not that of the secret.
	ErrSignature = errors.New("auth: signature does not match")

	// ErrStale is returned for a rightly signed request whose timestamp is further
	// from the clock than the window.
	ErrStale = errors.New("auth: auth_timestamp is outside the window")

	// ErrBody is returned for a rightly signed request whose body_md5 is not that of
	// its body.
	ErrBody = errors.New("auth: body_md5 does not match the body")

	// ErrMissing is matched by the errors for a request that lacks a parameter; their
	// text names it.
	ErrMissing = errors.New("auth: a parameter is missing")

	// ErrMalformed is matched by the errors for a request with a parameter that
	// cannot be right; their text names it.
	ErrMalformed = errors.New("auth: a parameter is malformed")
)

// fault is a particular of ErrMissing or ErrMalformed. Faults are made once, so that
// refusing a request allocates nothing.
type fault struct {
	text string
	kind error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

var (
	errTooManyParams = &fault{"auth: the query has too many parameters", ErrMalformed}
	errVersion       = &fault{"auth: auth_version must be 1.0", ErrMalformed}
	errTimestamp     = &fault{"auth: auth_timestamp must be seconds since 1970", ErrMalformed}
	errNoBodyMD5     = &fault{"auth: body_md5 is missing", ErrMissing}
)

func missing(name string) error { return &fault{"auth: " + name + " is missing", ErrMissing} }
func twice(name string) error   { return &fault{"auth: " + name + " is given twice", ErrMalformed} }
