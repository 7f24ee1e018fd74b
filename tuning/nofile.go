package tuning

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptorReserve is what a process keeps for everything that is not a
// client socket: listeners, log segments, API conversations, /proc reads.
// The same number stands behind admission.max_connections = 0.
const descriptorReserve = 512

// maxDescriptorTable bounds the tables that have a record for each descriptor
// number, unless a ceiling of connections asks for more: 2^24 descriptors cost
// 132 MiB of kernel memory. Container runtimes hand out limits of 2^30, a table of
// 8 GiB that nobody wanted.
const maxDescriptorTable = 1 << 24

// RaiseNofile raises the soft limit on descriptors to the hard one, all that a
// process without CAP_SYS_RESOURCE may do for itself, and returns the limit now
// in force. Unit: descriptors. It may be as large as fs.nr_open; tables
// are sized by DescriptorSlots. Call it once, before the first socket.
//
// It goes through package syscall, so that the Go runtime knows the limit was
// chosen on purpose and hands it on to a program that is exec'd.
func RaiseNofile() (limit uint64, err error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("tuning: read RLIMIT_NOFILE: %w", err)
	}
	soft := r.Cur
	r.Cur = r.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return soft, fmt.Errorf("tuning: raise RLIMIT_NOFILE from %d to %d: %w", soft, r.Max, err)
	}
	return r.Max, nil
}

// DescriptorSlots is for how many descriptor numbers a server makes its tables, at
// most nofile: for as many idle connections as memoryBytes can hold (0 = not known),
// at most 2^24 with the reserve, so that a later ceiling of connections finds room;
// for more if maxConnections (admission.max_connections) asks for more at start. The
// kernel gives the lowest free number to a new descriptor, so no higher one comes up.
func DescriptorSlots(nofile uint64, maxConnections int, memoryBytes uint64) uint64 {
	slots := uint64(maxDescriptorTable)
	if memoryBytes > 0 {
		slots = min(slots, memoryBytes/(ownConnectionBytes+kernelSocketBytes)+descriptorReserve)
	}
	return min(nofile, max(slots, uint64(maxConnections)+descriptorReserve))
}

// GrowDescriptorTable makes the kernel size the process's descriptor table for
// limit descriptors (3 at least; see DescriptorSlots) now. Left alone the table
// doubles as connections arrive, and each doubling stops every thread of the
// process for 6 to 16 ms while the kernel waits for RCU readers.
//
// One descriptor is duplicated to limit-1 and closed again: the table never
// shrinks. An error (the limit is above RLIMIT_NOFILE, kernel memory is short)
// leaves the process as it was and costs only those pauses.
func GrowDescriptorTable(limit uint64) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("tuning: grow the descriptor table: %w", err)
	}
	defer unix.Close(fd)
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, int(limit)-1)
	if err != nil {
		return fmt.Errorf("tuning: grow the descriptor table to %d: %w", limit, err)
	}
	return unix.Close(high)
}
