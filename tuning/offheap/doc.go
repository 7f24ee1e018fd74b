// Package offheap keeps pointer-free records in anonymous memory outside the Go
// heap, so that the collector neither scans them nor doubles them.
//
// A Table is a fixed reservation indexed by the caller's own numbers; a Pool
// hands out numbers of its own. Pages cost nothing until they are touched: the
// reservation is address space, not memory. A Table may be shared when its
// callers agree on who owns which record; a Pool has one owner and no locks.
//
// The package refuses record types that hold Go pointers, because the collector
// would not see what they point to.
package offheap
