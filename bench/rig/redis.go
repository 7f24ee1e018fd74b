package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	redisTimeout = 10 * time.Second // of one answer
	redisBytes   = 8 << 20          // of one bulk string
	redisRows    = 1 << 16          // of one array
	redisDepth   = 8                // of arrays in arrays
	redisLine    = 64 << 10         // of one line: MONITOR shows a script as one
)

var (
	// errRedis: Redis refused a command.
	errRedis = errors.New("rig: Redis")
	// errReply: what came is no RESP2.
	errReply = errors.New("rig: bad reply of Redis")
)

// redisTarget is a redis-server that keeps nothing beyond its life. appendOnly is what it does with its log: "no", or a
// value of appendfsync. Its log is never rewritten: a child would do that, in nobody's time.
func redisTarget(appendOnly string) (target, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return target{}, fmt.Errorf("%w: a cluster needs a Redis. Debian: apt-get install redis-server (%w)", errRefused, err)
	}
	command := []string{path, "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--auto-aof-rewrite-percentage", "0"}
	if appendOnly == "no" {
		command = append(command, "--appendonly", "no")
	} else {
		command = append(command, "--appendonly", "yes", "--appendfsync", appendOnly)
	}
	return target{name: "redis", command: command}, nil
}

// redisVersion is that of the redis-server at hand.
func redisVersion() (string, error) {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("redis-server --version: %w", err)
	}
	_, rest, ok := strings.Cut(string(out), "v=")
	version, _, _ := strings.Cut(rest, " ")
	if !ok || version == "" {
		return "", fmt.Errorf("redis-server --version: %.80q", out)
	}
	return version, nil
}

// redisConn is a connection to Redis with one command under way. One goroutine uses it.
type redisConn struct {
	conn net.Conn
	in   *bufio.Reader
}

func (s *server) dialRedis() (*redisConn, error) {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", s.port), redisTimeout)
	if err != nil {
		return nil, err
	}
	return &redisConn{conn, bufio.NewReaderSize(conn, redisLine)}, nil
}

func (r *redisConn) close() { r.conn.Close() }

// do sends a command and reads its answer: a string, an int64, a []any, or nil.
func (r *redisConn) do(words ...string) (any, error) {
	r.conn.SetDeadline(time.Now().Add(redisTimeout))
	if _, err := r.conn.Write(appendCommand(nil, words...)); err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	v, err := r.reply()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	return v, nil
}

func (r *redisConn) reply() (any, error) { return readReply(r.in, redisDepth) }

// text is do for a command that is answered with a string.
func (r *redisConn) text(words ...string) (string, error) {
	v, err := r.do(words...)
	if err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%w: %s: %v", errReply, words[0], v)
	}
	return text, nil
}

// used is INFO's used_memory: the smallest of some readings that are apart, since buffers of connections come and go.
// Unit: bytes.
func (r *redisConn) used(ctx context.Context, apart time.Duration) (int64, error) {
	least := int64(-1)
	for range 8 {
		text, err := r.text("INFO", "memory")
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(infoField(text, "used_memory"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: used_memory: %w", errReply, err)
		}
		if least < 0 || n < least {
			least = n
		}
		if err := pause(ctx, apart); err != nil {
			return 0, err
		}
	}
	return least, nil
}

// pause lets d pass.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// infoField finds "name:value" in what INFO answers; "" when it is not there.
func infoField(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// appendCommand appends one command as RESP has it.
func appendCommand(dst []byte, words ...string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(words))
	for _, w := range words {
		dst = fmt.Appendf(dst, "$%d\r\n%s\r\n", len(w), w)
	}
	return dst
}

// readReply reads one answer of RESP2, with arrays of at most depth levels.
func readReply(in *bufio.Reader, depth int) (any, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	head, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || head == "" {
		return nil, fmt.Errorf("%w: %.80q", errReply, line)
	}
	rest := head[1:]
	switch head[0] {
	case '+':
		return rest, nil
	case '-':
		return nil, fmt.Errorf("%w: %s", errRedis, rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %.80q", errReply, line)
	}
	switch {
	case head[0] == ':':
		return n, nil
	case n == -1 && (head[0] == '$' || head[0] == '*'):
		return nil, nil
	case head[0] == '$' && n >= 0 && n <= redisBytes:
		b := make([]byte, n+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		return string(b[:n]), nil
	case head[0] == '*' && n >= 0 && n <= redisRows && depth > 0:
		return readArray(in, int(n), depth-1)
	}
	return nil, fmt.Errorf("%w: %.80q", errReply, line)
}

func readArray(in *bufio.Reader, n, depth int) (any, error) {
	var list []any
	for range n {
		v, err := readReply(in, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
