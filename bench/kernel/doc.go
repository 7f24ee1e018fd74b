// Package kernel holds no Go code but its test: it is the folder of kernel.c, which measures what io_uring, MSG_ZEROCOPY
// and busy polling would change for a server that writes one frame to many sockets.
//
// What: the program builds with a C compiler alone and measures itself, a writer, beside a process that reads; it
// knows nothing of holdfast. The test builds it, runs its smallest size, and runs it where the kernel refuses io_uring.
//
// It refuses to give a figure for what the kernel does not allow: the row has the call and the errno.
package kernel
