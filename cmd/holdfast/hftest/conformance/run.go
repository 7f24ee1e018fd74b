package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// delivery is how a case's bytes reach the server.
type delivery int

const (
	atOnce delivery = iota
	inChunks
	byteByByte
	deliveries
)

var deliveryNames = [deliveries]string{"at once", "in chunks", "byte by byte"}

// byteByByteLimit is the longest case that is also sent a byte at a time.
const byteByByteLimit = 700

// patience is how long a server may take for one case.
const patience = 20 * time.Second

// Result is one run of one case.
type Result struct {
	Section, Name, Delivery string
	Err                     error // nil = passed
}

// Run plays every case against the echo endpoint at address (host:port) and path,
// on a connection of its own each. It stops at no failure.
func Run(address, path string, report func(Result)) {
	rng := rand.New(rand.NewPCG(11, 13))
	for _, c := range Table() {
		var wire []byte
		for _, f := range c.send {
			wire = append(wire, f.encode()...)
		}
		if c.close == 0 {
			wire = append(wire, closing(1000, "").encode()...)
		}
		for d := range deliveries {
			if d == byteByByte && len(wire) > byteByByteLimit {
				continue
			}
			report(Result{c.section, c.name, deliveryNames[d], play(address, path, c, wire, d, rng)})
		}
	}
}

func play(address, path string, c conversation, wire []byte, d delivery, rng *rand.Rand) error {
	conn, r, deflate, err := open(address, path, c.offer)
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		deliver(conn, wire, d, rng.Uint64())
	}()
	err = expect(r, c, deflate)
	_ = conn.Close() // releases a sender that the server no longer reads
	<-sent
	return err
}

// open performs the handshake (section 4.1) and reports whether deflate was agreed.
func open(address, path, offer string) (net.Conn, *bufio.Reader, bool, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, nil, false, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	head := "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	if offer != "" {
		head += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		_ = conn.Close()
		return nil, nil, false, err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	deflate, err := readAnswer(r, offer)
	if err != nil {
		_ = conn.Close()
		return nil, nil, false, err
	}
	return conn, r, deflate, nil
}

func readAnswer(r *bufio.Reader, offer string) (deflate bool, err error) {
	status, err := r.ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("handshake: %w", err)
	}
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return false, fmt.Errorf("handshake answered %q", strings.TrimSpace(status))
	}
	accepted := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false, fmt.Errorf("handshake: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "sec-websocket-accept":
			accepted = strings.TrimSpace(value) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
		case "sec-websocket-extensions":
			deflate = strings.Contains(value, "permessage-deflate")
		}
	}
	switch {
	case !accepted:
		return false, errors.New("handshake: wrong Sec-WebSocket-Accept")
	case deflate && offer == "":
		return false, errors.New("handshake: an extension was answered that was not offered")
	case !deflate && offer != "":
		return false, errors.New("handshake: permessage-deflate was declined")
	}
	return deflate, nil
}

// deliver writes the case's bytes; errors show on the reading side.
func deliver(conn net.Conn, wire []byte, d delivery, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, seed))
	for len(wire) > 0 {
		n := len(wire)
		switch d {
		case byteByByte:
			n = 1
		case inChunks:
			n = min(n, 1+rng.IntN(max(977, len(wire)/64)))
		}
		if _, err := conn.Write(wire[:n]); err != nil {
			return
		}
		wire = wire[n:]
	}
}

// expect reads what the case wants, in order, and then the close.
func expect(r *bufio.Reader, c conversation, deflate bool) error {
	for i, want := range c.want {
		got, err := readMessage(r, deflate)
		if err != nil {
			return fmt.Errorf("message %d of %d: %w", i+1, len(c.want), err)
		}
		if got.op != want.op || !bytes.Equal(got.p, want.p) {
			return fmt.Errorf("message %d of %d: got %v, want %v", i+1, len(c.want), got, want)
		}
	}
	got, err := readMessage(r, deflate)
	if err != nil {
		return fmt.Errorf("no Close frame: %w", err)
	}
	if got.op != opClose {
		return fmt.Errorf("got %v, want a Close frame", got)
	}
	code := 1000
	if c.close != 0 {
		code = c.close
	}
	if c.silent {
		if len(got.p) != 0 {
			return fmt.Errorf("got %v, want an empty Close frame", got)
		}
	} else if len(got.p) < 2 || int(binary.BigEndian.Uint16(got.p)) != code {
		return fmt.Errorf("got %v, want code %d", got, code)
	}
	if c.early {
		return nil // the client is in the middle of a message: how TCP ends is its affair
	}
	if extra, err := io.Copy(io.Discard, r); err != nil || extra > 0 {
		return fmt.Errorf("behind the Close frame: %d bytes, %v; want a clean end", extra, err)
	}
	return nil
}
