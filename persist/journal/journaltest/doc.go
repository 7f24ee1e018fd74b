// Package journaltest is a file system for tests of the log: it fails single calls
// on demand, and it remembers every write and sync, so that the directory can be
// rebuilt as it may look after a power cut or a kill.
//
// Owner: a Disk is shared by the goroutines of one log; it has a lock of its own.
// It works on real files; what it remembers is in memory. It knows no format.
//
// What a power cut leaves: the writes of a file up to its last sync, any of the
// later ones, each of them whole or torn at 512 bytes; the names of a directory as
// of its last sync, and a beginning of the later changes, since file systems keep
// those in order. What a kill leaves: everything, the last write perhaps cut short.
package journaltest
