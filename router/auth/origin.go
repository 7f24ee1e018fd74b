package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Origins is the set of web origins (RFC 6454) that may connect to an application.
// The zero value admits only clients that are not browsers.
type Origins struct {
	all  bool
	list []originRule
}

// originRule is one entry: scheme and host in lower case.
type originRule struct {
	scheme   string
	host     string     // without brackets; of a wildcard ".a.example", with its dot
	addr     netip.Addr // of an IPv6 literal, else zero
	port     int        // 0 = the scheme has no default and none was given
	wildcard bool       // exactly one label stands before host
}

// CompileOrigins reads the entries of a configuration: "*" for all,
// "scheme://host", "scheme://host:port", or "scheme://*.host" for any one label in
// front of host. The error joins what is wrong with each entry.
//
// A host name that is not ASCII must be written in its xn-- form, which is what
// browsers send. No entries admit no browser.
func CompileOrigins(entries []string) (Origins, error) {
	var o Origins
	var errs []error
	for _, entry := range entries {
		if entry == "*" {
			o.all = true
			continue
		}
		rule, err := compileOrigin(entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("auth: origin %q: %w", entry, err))
			continue
		}
		o.list = append(o.list, rule)
	}
	return o, errors.Join(errs...)
}

func compileOrigin(entry string) (originRule, error) {
	scheme, rest, found := strings.Cut(entry, "://")
	if !found {
		return originRule{}, errors.New(`it needs a scheme, as in "https://a.example"`)
	}
	wildcard := strings.HasPrefix(rest, "*.")
	if wildcard {
		rest = rest[len("*."):]
	}
	parsed, ok := parseOrigin([]byte(scheme + "://" + rest))
	if !ok {
		return originRule{}, errors.New(`it must be scheme://host, scheme://host:port or scheme://*.host, and the host in its ASCII form, without path or user`)
	}
	rule := originRule{
		scheme: strings.ToLower(string(parsed.scheme)), host: strings.ToLower(string(parsed.host)),
		addr: parsed.addr, port: parsed.port, wildcard: wildcard,
	}
	if wildcard {
		if _, err := netip.ParseAddr(rule.host); err == nil || rule.addr.IsValid() {
			return originRule{}, errors.New("an address has no subdomains")
		}
		rule.host = "." + rule.host
	}
	return rule, nil
}

// Allowed tells whether a request with this Origin header may connect. Scheme, host
// and port must be those of an entry; the default port of http, https, ws and wss
// may be written or not, and letter case does not count. A request without the
// header comes from a client that is not a browser, for which origins protect
// nothing: it is admitted.
//
// No allocation, but for IPv6 literals.
func (o Origins) Allowed(origin []byte) bool {
	if o.all || len(origin) == 0 {
		return true
	}
	parsed, ok := parseOrigin(origin)
	if !ok {
		return false
	}
	for i := range o.list {
		if o.list[i].admits(&parsed) {
			return true
		}
	}
	return false
}

func (r *originRule) admits(p *parsedOrigin) bool {
	if r.port != p.port || r.addr != p.addr || !equalLower(p.scheme, r.scheme) {
		return false
	}
	host := p.host
	if r.addr.IsValid() {
		return true
	}
	if r.wildcard {
		label := len(host) - len(r.host)
		if label <= 0 || bytes.IndexByte(host[:label], '.') >= 0 {
			return false
		}
		host = host[label:]
	}
	return equalLower(host, r.host)
}

// equalLower compares b, in any case, with s, which is in lower case.
func equalLower(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// parsedOrigin borrows from the header it was read from.
type parsedOrigin struct {
	scheme, host []byte
	addr         netip.Addr // of an IPv6 literal; host is then nil
	port         int        // the scheme's default when none was given
}

// parseOrigin reads scheme://host[:port] and nothing else: no path, no user, no
// list, and not "null".
func parseOrigin(origin []byte) (p parsedOrigin, ok bool) {
	i := bytes.Index(origin, []byte("://"))
	if i <= 0 {
		return p, false
	}
	p.scheme = origin[:i]
	for j, c := range p.scheme {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (j == 0 || c-'0' > 9 && c != '+' && c != '-' && c != '.') {
			return p, false
		}
	}
	rest := origin[i+len("://"):]
	if len(rest) > 0 && rest[0] == '[' {
		end := bytes.IndexByte(rest, ']')
		if end < 0 {
			return p, false
		}
		addr, err := netip.ParseAddr(string(rest[1:end]))
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return p, false
		}
		p.addr, rest = addr, rest[end+1:]
	} else {
		end := 0
		for end < len(rest) && hostByte(rest[end]) {
			end++
		}
		if p.host, rest = rest[:end], rest[end:]; !validHost(p.host) {
			return p, false
		}
	}
	if len(rest) == 0 {
		p.port = defaultPort(p.scheme)
		return p, true
	}
	p.port, ok = parsePort(rest)
	return p, ok
}

// hostByte is a byte of a host name: letter, digit, hyphen, underscore, or the dot
// between labels. Everything else, bytes beyond ASCII included, is none.
func hostByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c == '-' || c == '_' || c == '.'
}

// validHost refuses empty labels, but for the one behind a trailing dot: with the
// dot it is another origin than without.
func validHost(host []byte) bool {
	return len(host) > 0 && len(host) <= 254 && host[0] != '.' && !bytes.Contains(host, []byte(".."))
}

// parsePort reads a colon and a port.
func parsePort(s []byte) (int, bool) {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return 0, false
	}
	for _, c := range s[1:] {
		if c-'0' > 9 {
			return 0, false
		}
	}
	port, err := strconv.Atoi(string(s[1:]))
	return port, err == nil && port > 0 && port <= 65535
}

func defaultPort(scheme []byte) int {
	switch {
	case equalLower(scheme, "https"), equalLower(scheme, "wss"):
		return 443
	case equalLower(scheme, "http"), equalLower(scheme, "ws"):
		return 80
	}
	return 0
}
