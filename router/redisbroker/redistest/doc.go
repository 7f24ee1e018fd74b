// Package redistest starts real Redis servers for tests, on loopback ports and in
// directories of their own, and ends them with the test.
package redistest
