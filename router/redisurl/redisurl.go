package redisurl

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Err is returned for a text that is no such URL.
var Err = errors.New("not the URL of a Redis")

// Topology is how many servers share the work, and how they are found.
type Topology uint8

const (
	Single Topology = iota
	Sentinel
	Cluster
)

// Address is a parsed URL.
type Address struct {
	Topology Topology
	Hosts    []string // host:port
	User     string
	Password string
	DB       int
	Master   string // of Sentinel
	TLS      bool
}

const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// Parse reads a URL. net/url does not take a list of hosts with ports, so the
// list is cut out before it gets the rest.
func Parse(text string) (a Address, err error) {
	fault := func(what string) (Address, error) {
		return Address{}, fmt.Errorf("%w: %s; it looks like redis://host:6379/0, rediss://host, redis+sentinel://h1,h2/?master=NAME or redis+cluster://h1,h2", Err, what)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return fault("there is no scheme")
	}
	port := redisPort
	switch scheme {
	case "redis":
	case "rediss":
		a.TLS = true
	case "redis+sentinel":
		a.Topology, port = Sentinel, sentinelPort
	case "redis+cluster":
		a.Topology = Cluster
	default:
		return fault(fmt.Sprintf("the scheme %q is not known", scheme))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		if a.User, err = url.PathUnescape(user); err != nil {
			return fault("the user is not percent-encoded")
		}
		if a.Password, err = url.PathUnescape(password); err != nil {
			return fault("the password is not percent-encoded")
		}
		authority = authority[at+1:]
	}
	for host := range strings.SplitSeq(authority, ",") {
		full, err := hostPort(host, port)
		if err != nil {
			return fault(err.Error())
		}
		a.Hosts = append(a.Hosts, full)
	}
	u, err := url.Parse(rest)
	if err != nil {
		return fault("what stands behind the hosts cannot be read")
	}
	return a, a.readRest(u, fault)
}

// readRest takes what stands behind the hosts.
func (a *Address) readRest(u *url.URL, fault func(string) (Address, error)) (err error) {
	refuse := func(what string) error { _, err := fault(what); return err }
	if db := strings.Trim(u.Path, "/"); db != "" {
		if a.DB, err = strconv.Atoi(db); err != nil || a.DB < 0 {
			return refuse(fmt.Sprintf("%q is no database number", db))
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse("the parameters cannot be read")
	}
	for name, values := range query {
		switch {
		case name == "master" && a.Topology == Sentinel:
			a.Master = values[0]
		case name == "tls" && a.Topology != Single:
			a.TLS = values[0] == "1"
		default:
			return refuse(fmt.Sprintf("the parameter %q is not known", name))
		}
	}
	switch {
	case a.Topology == Sentinel && a.Master == "":
		return refuse("Sentinel needs ?master=NAME")
	case a.Topology == Cluster && a.DB != 0:
		return refuse("a Cluster has database 0 only")
	case a.Topology == Single && len(a.Hosts) > 1:
		return refuse("several hosts need redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func hostPort(host, port string) (string, error) {
	if host == "" {
		return "", errors.New("a host is empty")
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || h == "" {
			return "", fmt.Errorf("%q is not host:port", host)
		}
		return host, nil
	}
	bare, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		bare, bracketed = strings.CutSuffix(bare, "]")
		if !bracketed {
			return "", fmt.Errorf("%q is not host:port", host)
		}
	}
	if strings.ContainsAny(bare, "[]") || strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
		return "", fmt.Errorf("%q is not host:port", host)
	}
	return net.JoinHostPort(bare, port), nil
}

const (
	// connBuffer is each of the two buffers of a connection to Redis; the library's
	// default is half a MiB.
	connBuffer = 64 << 10
	// Refresh is how often the addresses of masters are asked for without an occasion.
	Refresh = 5 * time.Second
)

// Options is what the Redis library is told. Commands are never repeated by it: a
// publish that was not answered may have been done. timeout bounds a dial, and silence
// the time for which a connection may say nothing.
func (a *Address) Options(name string, timeout, silence time.Duration) rueidis.ClientOption {
	o := rueidis.ClientOption{
		InitAddress: a.Hosts, Username: a.User, Password: a.Password, SelectDB: a.DB,
		ClientName: name, DisableCache: true, DisableRetry: true, ShuffleInit: len(a.Hosts) > 1,
		ReadBufferEachConn: connBuffer, WriteBufferEachConn: connBuffer,
		Dialer:           net.Dialer{Timeout: timeout, KeepAlive: time.Second},
		ConnWriteTimeout: silence,
	}
	if a.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch a.Topology {
	case Single:
		o.ForceSingleClient = true
	case Sentinel:
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: a.Master, Dialer: o.Dialer, TLSConfig: o.TLSConfig, ClientName: o.ClientName,
			TopologyRefreshInterval: Refresh,
		}
	case Cluster:
		o.ClusterOption.ShardsRefreshInterval = Refresh
	}
	return o
}
