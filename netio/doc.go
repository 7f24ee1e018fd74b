// Package netio is the transport: it accepts sockets, tells WebSocket upgrades
// from plain HTTP, and holds established WebSockets on dense loops.
//
// The way of a socket: an acceptor takes it off the listener's queue when
// admission agrees and gives it to a loop. The loop peeks at the first bytes. A
// complete upgrade is adopted where it is, by the fast door; plain HTTP goes, its
// bytes still unread, to netpoll, the slow door, where goroutines may block. An
// upgrade that arrives there as a later request of a kept-alive conversation is
// detached and handed back.
//
// Who owns what: a loop is one goroutine with one epoll set, and it alone touches
// its connections. Others reach it through its inbox. A connection is a record of
// 36 bytes and a timer node of 16 in tables outside the Go heap, indexed by
// descriptor number; what only a busy connection needs (half-read message, output
// that the kernel refused) lies in side tables. There is no goroutine, net.Conn,
// buffer, closure or map entry for an idle connection.
//
// States: handshake, open, closing (our Close frame is out, input is discarded
// for at most two seconds so that the code arrives), dead, free.
//
// It refuses what the limits refuse, with the close codes of package frame. It has
// no opinion on channels: a Session, declared here and implemented elsewhere, is
// told of connections and messages.
package netio
