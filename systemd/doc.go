// Package systemd holds no code: it is the folder of the files that install
// holdfast on a host, and of the tests that hold them to their promises.
//
// holdfast.service runs the server sandboxed, with an exposure of at most 1.5 by
// systemd-analyze security; 90-holdfast.conf is the sysctl file for a million
// connections, compared with its formulas by the tests of package tuning;
// holdfast.toml has every key at its default, compared by the tests of
// cmd/holdfast/config.
package systemd
