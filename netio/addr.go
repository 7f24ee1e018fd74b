package netio

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// remoteAddr is the peer of an accepted socket; the zero value is a Unix socket.
type remoteAddr struct{ netip.AddrPort }

// net returns the address in package net's terms, for the netpoll door.
func (a remoteAddr) net() net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a.AddrPort)
}

// accept4 takes one connection off a listener's queue and sets the flags in the
// same call.
func accept4(fd int) (int, remoteAddr, syscall.Errno) {
	var raw unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return -1, remoteAddr{}, errno
		}
		return int(n), parseSockaddr(&raw), 0
	}
}

// parseSockaddr reads an IPv4 or IPv6 address; a v4-mapped one is unmapped so
// that limits per address see one form.
func parseSockaddr(raw *unix.RawSockaddrAny) remoteAddr {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return remoteAddr{netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(sa.Port))}
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return remoteAddr{netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), hostOrder(sa.Port))}
	}
	return remoteAddr{}
}

func hostOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}
