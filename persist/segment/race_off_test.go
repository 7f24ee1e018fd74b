//go:build !race

package segment

const raceShare = 1
