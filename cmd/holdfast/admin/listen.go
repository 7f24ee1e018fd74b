package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// socketMode lets the group talk to a unix socket, and nobody else.
const socketMode = 0o660

// Listen opens a TCP address or a unix socket. A socket file that nothing
// listens on any more, left by a killed process, is replaced; anything else in
// its place is an error.
func Listen(network, address string) (net.Listener, error) {
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		// Until here the process's umask decides. Connecting needs write
		// permission, which no sensible umask gives to others.
		if err := os.Chmod(address, socketMode); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s: another process listens on it", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s cannot be tried: %w", path, err)
	}
	return os.Remove(path)
}
