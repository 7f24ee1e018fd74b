//go:build race

package segment

// raceShare is what is left of a size with the race detector: it makes each step ten times
// as dear, and finds nothing in what one goroutine does.
const raceShare = 4
