//go:build race

package hftest

const raceEnabled = true
