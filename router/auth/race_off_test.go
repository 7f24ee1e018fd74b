//go:build !race

package auth

// raceEnabled: under the race detector pools drop values at random, and what they
// save is allocated.
const raceEnabled = false
