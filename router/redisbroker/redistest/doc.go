// Package redistest starts real Redis servers for tests, on loopback ports and in
// directories of their own, and networks that lose things; all end with the test.
package redistest
