// Package limit holds the buckets that bound how often something may happen.
//
// Buckets are pure values: time is an argument, in nanoseconds since the process
// started, and so are rate and burst, which may change between calls. The zero
// value is a full bucket. A Bucket belongs to one goroutine; a Rate may be shared.
//
// All are the generic cell rate algorithm: the state is one moment, the one at
// which the bucket will be full again. What is left in it follows from how far away
// that is.
package limit
