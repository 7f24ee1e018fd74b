//go:build race

package api

// The race detector makes pools forget at random, so that a decoder and the scratch
// of a signature are made anew now and then.
const publishAllocations = 20
