// Package tuning fits one holdfast process to its host, once, at start, and
// tells an operator what the host still lacks.
//
// It does four things. [RaiseNofile] and [GrowDescriptorTable] take what a
// process may take for itself. [ApplyMemory] sets the collector for a process
// whose connections live outside the Go heap; a [Pace] follows the size of that
// heap. [Doctor] compares the host with a number of connections, prints found /
// consequence / command for each check and can write the matching sysctl file.
// [NewKernelCollector] reports what the kernel counts for us: descriptors, TCP
// memory, sockets, listen overflows.
//
// It owns no state beyond the collector's file names and starts no goroutine.
// All functions may be called from any goroutine; everything but the collector
// is meant for the start of the process, and may block on files.
//
// It refuses to write inside a container, to lower a live value, and to replace
// a file that it did not write. It never changes a running kernel by itself.
package tuning
