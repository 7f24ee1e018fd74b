package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// unixPrefix begins a listener that is a unix socket.
const unixPrefix = "unix:"

// maxUnixPath is the longest path that fits sockaddr_un with its final zero.
const maxUnixPath = 107

// ListenAddress splits a listen key into what net.Listen takes: "unix:/path"
// into ("unix", "/path"), host:port into ("tcp", host:port). The error is a
// predicate without the value.
func ListenAddress(listen string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(listen, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") || len(path) > maxUnixPath || strings.IndexByte(path, 0) >= 0 {
			return "", "", errors.New("is not unix: with an absolute path of at most 107 bytes")
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", "", errors.New("is neither host:port nor unix:/path")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", errors.New("has no port number from 0 to 65535")
	}
	if !validHost(host) {
		return "", "", errors.New("has no valid host; write an IP address, a name, or nothing for all addresses")
	}
	return "tcp", listen, nil
}

// validHost accepts "", IP addresses and DNS names.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && c != '_' && !isAlphanumeric(c) {
				return false
			}
		}
	}
	return len(host) <= 253
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Loopback says whether only this host can reach a valid listen key: a unix
// socket, a loopback IP address, or the name localhost. Another name counts as
// public, since what it resolves to may change.
func Loopback(listen string) bool {
	network, address, err := ListenAddress(listen)
	if err != nil || network == "unix" {
		return err == nil
	}
	host, _, _ := net.SplitHostPort(address)
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
