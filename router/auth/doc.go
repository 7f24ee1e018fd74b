// Package auth decides whether a subscription, a sign-in or a request of the HTTP
// API carries an application's signature, whether a browser's origin may connect,
// what a connection's socket id is, and what a session id is: the socket id of a
// client that speaks plain HTTP.
//
// It is pure: no clock, no I/O. Credentials, Origins, SocketIDs and SessionIDs are
// immutable values that any goroutine may use; scratch memory comes from pools and arguments
// are never kept.
//
// Signatures are HMAC-SHA256 under the application's secret. They are compared as
// 32 bytes in constant time, and the same work is done for a foreign key. It refuses
// requests without a timestamp, outside the time window, or with another body than
// was signed, and everything that names one of the auth parameters twice.
package auth
