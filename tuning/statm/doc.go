// Package statm reads how much memory the process has, in bytes, from
// /proc/self/statm (proc_pid_statm(5)).
//
// It owns no state, and its functions may be called from any goroutine. A file that
// does not begin with two figures is refused with ErrFormat.
package statm
