package main

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receive is one read(2), and sets c.read.
func (c *crowd) receive(fd int, p []byte) (int, error) {
	if !c.stamped {
		n, err := rawRead(fd, p)
		c.read = c.now()
		return n, err
	}
	n, control, _, _, err := unix.Recvmsg(fd, p, c.control, 0)
	c.read = c.now()
	if err == nil {
		if at, ok := arrival(c.control[:control]); ok {
			c.read = at - c.began.UnixNano()
		}
	}
	return n, err
}

// arrival reads the kernel's time of arrival out of the ancillary data of a read. Unit: nanoseconds since 1970.
func arrival(control []byte) (ns int64, ok bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:])), true
		}
	}
	return 0, false
}

// rawRead is read(2) without telling the scheduler: it cannot block, and there is nothing else to schedule.
func rawRead(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// epollWait is epoll_wait(2); timeout in ms. Only a wait that may sleep goes through the scheduler.
func epollWait(epoll int, events []unix.EpollEvent, timeout int) (int, error) {
	call := syscall.Syscall6
	if timeout == 0 {
		call = syscall.RawSyscall6
	}
	n, _, errno := call(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if errno != 0 && errno != syscall.EINTR {
		return 0, errno
	}
	if errno != 0 {
		return 0, nil
	}
	return int(n), nil
}
