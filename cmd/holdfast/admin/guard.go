package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard decides who may ask.
type guard struct {
	hosts map[string]bool // lower case, IPv6 in brackets
	token [sha256.Size]byte
	open  bool // a token is configured
}

func newGuard(hosts []string, token string) *guard {
	g := &guard{hosts: map[string]bool{}, open: token != "", token: sha256.Sum256([]byte(token))}
	for _, h := range hosts {
		if strings.Contains(h, ":") && !strings.HasPrefix(h, "[") {
			h = "[" + h + "]" // as it stands in a Host header
		}
		g.hosts[strings.ToLower(h)] = true
	}
	return g
}

// wrap lets a request through to next, or answers it.
func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, unix := peer(r)
		if !unix && !g.hosts[hostName(r.Host)] {
			refuse(w, http.StatusForbidden, "this Host is not in admin.hosts")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && !g.ownOrigin(origin) {
			refuse(w, http.StatusForbidden, "this Origin is not in admin.hosts")
			return
		}
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !(local && reads) && !g.authorised(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// peer says whether the other end is on this machine, and whether it came
// through a unix socket. A unix peer has no address that netip reads.
func peer(r *http.Request) (local, unix bool) {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return true, true
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr().Unmap().IsLoopback(), false
}

// hostName is a Host header without its port, in lower case.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(host)
}

func (g *guard) ownOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && g.hosts[hostName(u.Host)]
}

// authorised checks the token in a time that does not depend on it, and
// answers the request if it is not right.
func (g *guard) authorised(w http.ResponseWriter, r *http.Request) bool {
	if !g.open {
		refuse(w, http.StatusForbidden, "without an admin token only GET from this machine is answered: set admin.token_file or HOLDFAST_ADMIN_TOKEN")
		return false
	}
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast admin"`)
		refuse(w, http.StatusUnauthorized, "the admin token is missing or wrong")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, text string) {
	http.Error(w, text, status)
}
