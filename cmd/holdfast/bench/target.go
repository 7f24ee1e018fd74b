package bench

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// target is a server, resolved once so that all processes connect to the same
// addresses.
type target struct {
	host         string // Host header
	prefix       string // path prefix, no final slash
	port         uint16
	destinations []netip.Addr // at least one; all of one family
}

const resolveTimeout = 10 * time.Second

// parseTarget resolves --url, and counts destinations up from its address.
func parseTarget(ctx context.Context, text string, destinations int) (*target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, usage("--url %q is not a URL such as ws://127.0.0.1:8080", text)
	}
	switch u.Scheme {
	case "ws", "http":
	case "wss", "https":
		return nil, usage("--url %s: TLS is not offered, since it would cost this side some 20 KB and most of its CPU per connection: "+
			"point the test at the server's plain port behind the TLS proxy (ws://), and test the proxy by itself", text)
	default:
		return nil, usage("--url %s: the scheme is ws", text)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usage("--url %q may have a host, a port and a path only", text)
	}
	port := uint64(80)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return nil, usage("--url %s: port %s", text, p)
		}
	}
	first, err := resolve(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	t := &target{host: u.Host, prefix: strings.TrimSuffix(u.EscapedPath(), "/"), port: uint16(port)}
	for at := first; len(t.destinations) < destinations; at = at.Next() {
		if !at.IsValid() || at.IsLoopback() != first.IsLoopback() {
			return nil, usage("--destinations %d: there are only %d addresses from %s on", destinations, len(t.destinations), first)
		}
		t.destinations = append(t.destinations, at)
	}
	return t, nil
}

func resolve(ctx context.Context, host string) (netip.Addr, error) {
	if at, err := netip.ParseAddr(host); err == nil {
		return at.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, usage("--url: %v", err)
	}
	for _, at := range found { // IPv4 first: a server that listens on one family listens on that
		if at.Unmap().Is4() {
			return at.Unmap(), nil
		}
	}
	return found[0], nil
}

func (t *target) loopback() bool { return t.destinations[0].IsLoopback() }

// sockaddr is an address for connect(2) and bind(2), which does not allocate when used.
func sockaddr(at netip.Addr, port uint16) unix.Sockaddr {
	if at.Is4() {
		return &unix.SockaddrInet4{Addr: at.As4(), Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: at.As16(), Port: int(port)}
}

func family(at netip.Addr) int {
	if at.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Bounds of the sockets that one loopback source address carries to one
// destination. The kernel looks for a free port from a random start, so a range
// that is more than half full makes connect(2) slow.
const (
	fewestPerAddress = 4_000
	mostPerAddress   = 20_000
)

// perAddress is how many sockets one source address should carry to one destination.
func perAddress(ports int) int {
	return min(max(ports/2, fewestPerAddress), mostPerAddress, max(ports, 1))
}

// firstSource is where source addresses on the loopback begin.
var firstSource = netip.AddrFrom4([4]byte{127, 0, 1, 1})

// mostSources bounds them: 127.0.1.1 to 127.0.200.254.
const mostSources = 200 * 254

// pickSources is the source addresses of all processes, in groups of equal size, a
// group a process; none: the default route. spec is --source-addresses.
func pickSources(spec string, t *target, p *Params, ports int) ([]netip.Addr, error) {
	switch spec {
	case "none":
		return nil, nil
	case "", "auto":
		if !t.loopback() || !t.destinations[0].Is4() {
			return nil, nil
		}
		if p.Connections <= perAddress(ports)*len(t.destinations) {
			return nil, nil
		}
		each := (p.Connections + p.Processes - 1) / p.Processes
		one := perAddress(ports) * len(t.destinations)
		return loopbackSources((each + one - 1) / one * p.Processes)
	}
	if n, err := strconv.Atoi(spec); err == nil {
		if !t.loopback() || !t.destinations[0].Is4() {
			return nil, usage("--source-addresses %s: a count is for targets on 127.0.0.0/8; give a list of this host's addresses", spec)
		}
		return loopbackSources(n)
	}
	return listedSources(spec, t)
}

func loopbackSources(n int) ([]netip.Addr, error) {
	if n < 1 || n > mostSources {
		return nil, usage("--source-addresses: %d of 1 to %d", n, mostSources)
	}
	var sources []netip.Addr
	for at := firstSource; len(sources) < n; at = at.Next() {
		if last := at.As4()[3]; last != 0 && last != 255 {
			sources = append(sources, at)
		}
	}
	return sources, nil
}

func listedSources(list string, t *target) ([]netip.Addr, error) {
	var sources []netip.Addr
	for one := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(one, "-")
		first, err := netip.ParseAddr(strings.TrimSpace(from))
		last := first
		if err == nil && isRange {
			last, err = netip.ParseAddr(strings.TrimSpace(to))
		}
		if err != nil || first.Is4() != t.destinations[0].Is4() || last.Is4() != first.Is4() || last.Less(first) {
			return nil, usage("--source-addresses: %q is not an address, or first-last, of the target's family", one)
		}
		for at := first; at.IsValid() && !last.Less(at); at = at.Next() {
			if sources = append(sources, at); len(sources) > mostSources {
				return nil, usage("--source-addresses: more than %d", mostSources)
			}
		}
	}
	return sources, nil
}

// sourcesOf is the part of the addresses that process k of n uses: its own, or all
// when there are fewer than processes.
func sourcesOf(sources []netip.Addr, k, n int) []netip.Addr {
	if len(sources) < n {
		return sources
	}
	own := share{0, len(sources)}.part(k, n)
	return sources[own.from:own.to]
}
