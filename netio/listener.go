package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is what listen(2) is asked for; net.core.somaxconn caps it.
const backlog = 65535

// notsentLowat keeps the kernel's share of a slow reader's output small: beyond
// this many unsent bytes a write is refused, and our own bound applies.
const notsentLowat = 16 << 10

// listener is one bound address.
type listener struct {
	spec  string   // as configured; metrics label
	file  *os.File // non-blocking, in Go's poller
	raw   syscall.RawConn
	local net.Addr
	unix  string // path to remove at close; "" for TCP
}

// listen binds spec. The sockets are made by hand because package net would use
// MPTCP and set keepalive probes; options set here are inherited by accept.
func listen(spec string) (*listener, error) {
	var fd int
	var err error
	path, isUnix := strings.CutPrefix(spec, "unix:")
	if isUnix {
		fd, err = bindUnix(path)
	} else {
		path = ""
		fd, err = bindTCP(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("netio: listen on %q: %w", spec, err)
	}
	l := &listener{spec: spec, unix: path, file: os.NewFile(uintptr(fd), "listener")}
	if l.raw, err = l.file.SyscallConn(); err == nil {
		l.local, err = localOf(fd, isUnix, path)
	}
	if err != nil {
		_ = l.file.Close()
		return nil, fmt.Errorf("netio: listen on %q: %w", spec, err)
	}
	return l, nil
}

func (l *listener) close() {
	_ = l.file.Close()
	if l.unix != "" {
		_ = os.Remove(l.unix)
	}
}

func bindTCP(spec string) (int, error) {
	addr, err := net.ResolveTCPAddr("tcp", spec)
	if err != nil {
		return -1, err
	}
	domain := unix.AF_INET6
	var sa unix.Sockaddr
	switch ip := addr.AddrPort().Addr().Unmap(); {
	case addr.IP == nil:
		sa = &unix.SockaddrInet6{Port: addr.Port} // all addresses, both families
	case ip.Is4():
		domain = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: addr.Port, Addr: ip.As4()}
	default:
		sa = &unix.SockaddrInet6{Port: addr.Port, Addr: ip.As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errors.Is(err, unix.EAFNOSUPPORT) && addr.IP == nil {
		sa = &unix.SockaddrInet4{Port: addr.Port}
		domain = unix.AF_INET
		fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	}
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notsentLowat},
	}
	if domain == unix.AF_INET6 && addr.IP == nil {
		options = append(options, struct{ level, name, value int }{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("setsockopt %d/%d: %w", o.level, o.name, err)
		}
	}
	return bindAndListen(fd, sa)
}

// bindUnix takes the path over from a dead process, never from a living one.
func bindUnix(path string) (int, error) {
	if _, err := os.Lstat(path); err == nil {
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return -1, fmt.Errorf("%s: %w: another process answers there", path, unix.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return -1, err
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return bindAndListen(fd, &unix.SockaddrUnix{Name: path})
}

func bindAndListen(fd int, sa unix.Sockaddr) (int, error) {
	if err := unix.Bind(fd, sa); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

func localOf(fd int, isUnix bool, path string) (net.Addr, error) {
	if isUnix {
		return &net.UnixAddr{Name: path, Net: "unix"}, nil
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))), nil
	case *unix.SockaddrInet6:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))), nil
	}
	return nil, fmt.Errorf("unexpected address family %T", sa)
}
