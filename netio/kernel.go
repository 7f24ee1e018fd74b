package netio

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the narrow seam to the operating system: the calls that a loop or
// the acceptor makes on sockets. Production uses realKernel; tests replace single
// calls to inject EAGAIN, short writes, EMFILE, ENOBUFS or ECONNRESET.
//
// All calls are on non-blocking descriptors and return at once, so they go to
// the kernel without telling Go's scheduler (which costs more than the call).
type kernel struct {
	accept   func(fd int) (int, remoteAddr, syscall.Errno)
	read     func(fd int, p []byte) (int, syscall.Errno)
	peek     func(fd int, p []byte) (int, syscall.Errno)
	discard  func(fd, n int) (int, syscall.Errno) // takes n bytes off the queue without copying them
	write    func(fd int, p []byte) (int, syscall.Errno)
	writev   func(fd int, iov []syscall.Iovec) (int, syscall.Errno)
	watch    func(epfd, fd int) syscall.Errno // edge-triggered, in and out
	unwatch  func(epfd, fd int) syscall.Errno
	shutdown func(fd int) syscall.Errno // SHUT_WR
	close    func(fd int) syscall.Errno
	progress func(fd int) (acked uint32, idle bool, errno syscall.Errno) // TCP_INFO
	yield    func()                                                      // sched_yield(2): this thread goes behind those that wait
}

// watchEvents: the out edge is reported once after a write was refused and the
// peer has made room, so one registration serves the whole life of a socket.
const watchEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

func realKernel() kernel {
	return kernel{
		accept: accept4,
		read: func(fd int, p []byte) (int, syscall.Errno) {
			return rawIO(unix.SYS_READ, fd, p)
		},
		peek: func(fd int, p []byte) (int, syscall.Errno) {
			return rawRecv(fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), unix.MSG_PEEK)
		},
		discard: discard,
		write: func(fd int, p []byte) (int, syscall.Errno) {
			return rawIO(unix.SYS_WRITE, fd, p)
		},
		writev: func(fd int, iov []syscall.Iovec) (int, syscall.Errno) {
			return retry(func() (uintptr, syscall.Errno) {
				n, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
				return n, errno
			})
		},
		watch: func(epfd, fd int) syscall.Errno {
			ev := unix.EpollEvent{Events: watchEvents, Fd: int32(fd)}
			_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
			return errno
		},
		unwatch: func(epfd, fd int) syscall.Errno {
			var ev unix.EpollEvent
			_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), unix.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
			return errno
		},
		shutdown: func(fd int) syscall.Errno {
			_, _, errno := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
			return errno
		},
		close: func(fd int) syscall.Errno {
			_, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
			return errno
		},
		progress: tcpProgress,
		yield:    func() { _, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) },
	}
}

// retry repeats a call that a signal interrupted; non-blocking calls rarely are.
func retry(call func() (uintptr, syscall.Errno)) (int, syscall.Errno) {
	for {
		n, errno := call()
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

func rawIO(trap uintptr, fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

func rawRecv(fd int, p unsafe.Pointer, n int, flags uintptr) (int, syscall.Errno) {
	for {
		got, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(p), uintptr(n), flags, 0, 0)
		if errno == 0 {
			return int(got), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// discard uses MSG_TRUNC, which on TCP drops bytes without a copy (tcp(7)). Unix
// sockets copy them, into a buffer of the caller's stack.
func discard(fd, n int) (int, syscall.Errno) {
	got, errno := rawRecv(fd, nil, n, unix.MSG_TRUNC)
	if errno != syscall.EFAULT {
		return got, errno
	}
	var sink [4096]byte
	done := 0
	for done < n {
		got, errno := rawRecv(fd, unsafe.Pointer(&sink), min(n-done, len(sink)), 0)
		if errno != 0 || got == 0 {
			return done, errno
		}
		done += got
	}
	return done, 0
}

// tcpProgress reads the low 32 bits of tcpi_bytes_acked, and whether everything
// sent has been acknowledged. The offsets are those of struct tcp_info in
// linux/tcp.h, which only ever grows at its end.
func tcpProgress(fd int) (uint32, bool, syscall.Errno) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		if errno, ok := err.(syscall.Errno); ok {
			return 0, false, errno
		}
		return 0, false, syscall.EINVAL
	}
	return uint32(info.Bytes_acked), info.Unacked == 0 && info.Notsent_bytes == 0, 0
}
