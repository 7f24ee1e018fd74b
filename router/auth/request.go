package auth

import (
	"bytes"
	"crypto/md5" //nolint:gosec // body_md5 is what the protocol says; its strength is the signature's
	"crypto/subtle"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is what a signature of the HTTP API covers.
type Request struct {
	Method   string
	Path     string // as it was received: percent-encoded, without any prefix of this server
	RawQuery string // as it was received, without the question mark
	Body     []byte
}

// VerifyRequest checks the signature of a request of the HTTP API, then its body,
// then its age. The signed text is
//
//	METHOD \n path \n k1=v1&k2=v2…
//
// with all parameters but auth_signature, decoded (params says how). The path is
// tried as received and decoded, because some SDKs sign the plain user id and send
// it encoded.
//
// It returns nil or an error that is one of ErrKey, ErrSignature, ErrBody, ErrStale,
// ErrMissing or ErrMalformed. For a foreign key the same signatures are computed as
// for the own one. window bounds |now − auth_timestamp|. No allocation.
func (c *Credentials) VerifyRequest(r Request, now time.Time, window time.Duration) error {
	s := c.signer()
	defer c.release(s)
	if err := s.params.read(r.RawQuery, true); err != nil {
		return err
	}
	if err := s.params.complete(len(r.Body) > 0); err != nil {
		return err
	}
	p := &s.params
	ownKey := subtle.ConstantTimeCompare(p.value(paramKey), []byte(c.key)) == 1
	readable := s.expect(p.value(paramSignature))
	signed := s.signs(r)
	if strings.IndexByte(r.RawQuery, '+') >= 0 && !signed {
		// One SDK does not encode its query: there a plus is a plus.
		if err := p.read(r.RawQuery, false); err != nil {
			return err
		}
		ownKey = ownKey || subtle.ConstantTimeCompare(p.value(paramKey), []byte(c.key)) == 1
		signed = s.signs(r)
	}
	if !ownKey {
		return ErrKey
	}
	if !readable || !signed {
		return ErrSignature
	}
	if given := p.value(paramBodyMD5); p.found[paramBodyMD5] != 0 && !isMD5(given, r.Body) {
		return ErrBody
	}
	return checkAge(p.value(paramTimestamp), now, window)
}

// signs tells whether s.given signs the request with s.params under either form of
// its path.
func (s *signer) signs(r Request) bool {
	s.compose(r.Method, r.Path, false)
	if s.matches() {
		return true
	}
	if strings.IndexByte(r.Path, '%') < 0 {
		return false
	}
	s.compose(r.Method, r.Path, true)
	return s.matches()
}

// compose makes the text that is signed.
func (s *signer) compose(method, path string, decode bool) {
	s.text = append(s.text[:0], method...)
	s.text = append(s.text, '\n')
	if decode {
		s.text = appendDecoded(s.text, path, false)
	} else {
		s.text = append(s.text, path...)
	}
	s.text = append(s.text, '\n')
	s.text = s.params.appendSigned(s.text)
}

// isMD5 tells whether digits are the hexadecimal MD5 of body.
func isMD5(digits, body []byte) bool {
	var given [md5.Size]byte
	if len(digits) != hex.EncodedLen(len(given)) {
		return false
	}
	if _, err := hex.Decode(given[:], digits); err != nil {
		return false
	}
	return md5.Sum(body) == given //nolint:gosec // as above; not a secret, it stands in the query
}

// maxTimestampDigits fits any second before the year 30,000.
const maxTimestampDigits = 12

// checkAge checks a timestamp in decimal seconds since 1970.
func checkAge(stamp []byte, now time.Time, window time.Duration) error {
	if len(stamp) == 0 || len(stamp) > maxTimestampDigits {
		return errTimestamp
	}
	at := int64(0)
	for _, c := range stamp {
		if c-'0' > 9 {
			return errTimestamp
		}
		at = at*10 + int64(c-'0')
	}
	away := now.Unix() - at
	if away < 0 {
		away = -away
	}
	if away > int64(window/time.Second) {
		return ErrStale
	}
	return nil
}

// SignRequest returns the query to send with a request: r.RawQuery, whose parameters
// are the caller's own and encoded, followed by the auth parameters. The path is
// signed decoded, as the SDKs do.
func (c *Credentials) SignRequest(r Request, now time.Time) string {
	query := r.RawQuery
	add := func(name, value string) {
		if query != "" {
			query += "&"
		}
		query += name + "=" + value
	}
	add("auth_key", url.QueryEscape(c.key))
	add("auth_timestamp", strconv.FormatInt(now.Unix(), 10))
	add("auth_version", version)
	if len(r.Body) > 0 {
		sum := md5.Sum(r.Body) //nolint:gosec // as above
		add("body_md5", hex.EncodeToString(sum[:]))
	}
	s := c.signer()
	defer c.release(s)
	if s.params.read(query, true) != nil {
		return query // more parameters than any server takes: it will be refused there
	}
	s.compose(r.Method, r.Path, true)
	s.sign()
	add("auth_signature", hex.EncodeToString(s.sum[:]))
	return query
}

// version is the only auth_version there is.
const version = "1.0"

// complete checks that the auth parameters are all there and possible.
func (p *params) complete(hasBody bool) error {
	for i, n := range p.found {
		switch {
		case n > 1:
			return errTwice[i]
		case n == 0 && i != paramBodyMD5:
			return errMissing[i]
		}
	}
	if hasBody && p.found[paramBodyMD5] == 0 {
		return errNoBodyMD5
	}
	if !bytes.Equal(p.value(paramVersion), []byte(version)) {
		return errVersion
	}
	return nil
}
