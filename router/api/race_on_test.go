//go:build race

package api

const raceAllocations = 17
