//go:build !race

package api

const raceAllocations = 0
