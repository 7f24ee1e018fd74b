//go:build !race

package api

const publishAllocations = 3
