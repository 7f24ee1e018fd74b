package tuning

import "errors"

var (
	// ErrContainer refuses to write sysctl settings from inside a container:
	// what the host allows is set on the host.
	ErrContainer = errors.New("tuning: inside a container, sysctl settings belong to the host")

	// ErrForeignFile refuses to replace a file whose first line is not ours.
	ErrForeignFile = errors.New("tuning: the file was not written by holdfast doctor")

	// ErrConnections refuses a plan for a number of connections outside 1 to
	// 100,000,000.
	ErrConnections = errors.New("tuning: connections must be between 1 and 100000000")

	errUnreadable = errors.New("tuning: not readable")
	errMalformed  = errors.New("tuning: unexpected content")
)
