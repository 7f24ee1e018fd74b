//go:build !race

package limits

// slowdown is how much longer things take than in a plain build.
const slowdown = 1
