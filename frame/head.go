package frame

import "bytes"

// HeadLimits bound the head of a request. Over any of them: ErrHeadTooLarge.
type HeadLimits struct {
	// LineBytes bounds the request line without its CRLF.
	LineBytes int
	// HeadBytes bounds what follows it: all fields and the empty line, with their
	// CRLFs.
	HeadBytes int
	// Count bounds the number of fields.
	Count int
}

// Head is the head of an HTTP/1.1 request. Its slices borrow the parsed bytes;
// a field that is absent is nil, one that is empty is not.
type Head struct {
	Method []byte // a token, in the case in which it came
	Target []byte // origin-form
	// Path and RawQuery are the target before and behind its first '?'. The path
	// begins with '/' and its percent-encoding is well formed, but still encoded.
	Path, RawQuery []byte

	Host        []byte
	Origin      []byte
	Key         []byte // Sec-WebSocket-Key
	Extensions  []byte // Sec-WebSocket-Extensions, the first field of that name
	ContentType []byte
	LastEventID []byte // Last-Event-ID, the first field of that name
	IfNoneMatch []byte // If-None-Match, the first field of that name

	// ContentLength is -1 when the field is absent.
	ContentLength int64
	// Chunked tells of a Transfer-Encoding, which can only be "chunked".
	Chunked bool
	// Len is the size of the head, its empty line included. Unit: bytes.
	Len int

	HTTP10 bool
	// KeepAlive tells whether the client wants another request on the connection.
	KeepAlive bool
	// Expect100 tells that the client waits for "100 Continue" before its body.
	Expect100 bool

	// Upgrade tells that the request asks for a WebSocket, well or badly.
	Upgrade bool
	// UpgradeError is the status that refuses a broken upgrade: 400, or 426 for a
	// Sec-WebSocket-Version other than 13. 0 = the upgrade can be answered with 101.
	UpgradeError int
}

// HeadComplete tells whether p holds the whole head of a request, or an empty
// line that Parse refuses. p[:from] was searched before without success, so that
// a head that comes byte by byte costs linear time.
func HeadComplete(p []byte, from int) bool {
	// The line break before an empty line may be up to two bytes back.
	for i := max(0, from-2); i < len(p); {
		next := bytes.IndexByte(p[i:], '\n')
		if next < 0 {
			return false
		}
		i += next + 1
		rest := p[i:]
		if len(rest) > 0 && rest[0] == '\n' || len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return true
		}
	}
	return false
}

// Parse reads the head at the start of p, by the letter of RFC 9112: what two
// servers could understand differently is ErrHeadMalformed. It allocates nothing.
// After an error the fields of h mean nothing.
func (h *Head) Parse(p []byte, lim HeadLimits) error {
	*h = Head{ContentLength: -1}
	line, used, err := cutLine(p, lim.LineBytes)
	if err != nil {
		return err
	}
	if err := h.requestLine(line); err != nil {
		return err
	}
	var seen fields
	start := used
	for count := 0; ; count++ {
		room := lim.HeadBytes - (used - start)
		line, n, err := cutLine(p[used:], room-len("\r\n"))
		if err != nil {
			return err
		}
		used += n
		if len(line) == 0 {
			break
		}
		if count >= lim.Count {
			return ErrHeadTooLarge
		}
		if err := h.field(line, &seen); err != nil {
			return err
		}
	}
	h.Len = used
	return h.judge(&seen)
}

// cutLine takes one line of at most limit bytes, CRLF not counted, off the front
// of p. n counts the CRLF. RFC 9112 section 2.2: a line ends in CRLF; a bare LF or
// CR is a line break to some readers and not to others.
func cutLine(p []byte, limit int) (line []byte, n int, err error) {
	end := bytes.IndexByte(p, '\n')
	switch {
	case end < 0 && len(p) > limit+len("\r"):
		return nil, 0, ErrHeadTooLarge
	case end < 0:
		return nil, 0, ErrHeadPartial
	case end == 0 || p[end-1] != '\r':
		return nil, 0, ErrHeadMalformed
	case end-1 > limit:
		return nil, 0, ErrHeadTooLarge
	}
	return p[:end-1], end + 1, nil
}

// requestLine reads "method SP target SP version", RFC 9112 section 3. The single
// spaces are exact.
func (h *Head) requestLine(line []byte) error {
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 || !isToken(line[:sp]) {
		return ErrHeadMalformed
	}
	h.Method = line[:sp]
	rest := line[sp+1:]
	sp = bytes.IndexByte(rest, ' ')
	if sp < 0 {
		return ErrHeadMalformed
	}
	switch string(rest[sp+1:]) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.HTTP10 = true
	default:
		return ErrHeadMalformed
	}
	return h.target(rest[:sp])
}

// target reads origin-form, RFC 9112 section 3.2.1: what this server has is
// addressed by a path. absolute-form is for proxies, authority-form for tunnels.
func (h *Head) target(t []byte) error {
	if len(t) == 0 || t[0] != '/' {
		return ErrHeadMalformed
	}
	h.Target, h.Path = t, t
	for i, c := range t {
		switch {
		case c <= ' ' || c >= 0x7f || c == '#':
			return ErrHeadMalformed
		case c == '?' && h.RawQuery == nil:
			h.Path, h.RawQuery = t[:i], t[i+1:]
		case c == '%' && h.RawQuery == nil:
			if i+2 >= len(t) || !isHex(t[i+1]) || !isHex(t[i+2]) {
				return ErrHeadMalformed
			}
		}
	}
	return nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// judge looks at the head as a whole: framing of the body first, since a mistake
// there lets one request hide in another.
func (h *Head) judge(seen *fields) error {
	switch {
	case !h.HTTP10 && h.Host == nil: // RFC 9112 section 3.2
		return ErrHeadMalformed
	case h.Chunked && (h.ContentLength >= 0 || h.HTTP10): // RFC 9112 section 6.1
		return ErrHeadMalformed
	}
	h.KeepAlive = !seen.close && (!h.HTTP10 || seen.keepAlive)
	if h.Upgrade {
		h.UpgradeError = h.judgeUpgrade(seen)
	}
	return nil
}

// judgeUpgrade applies RFC 6455 section 4.2.1. The version comes first: a client
// of another version is told which one to use (section 4.4).
func (h *Head) judgeUpgrade(seen *fields) int {
	switch {
	case h.Chunked || h.ContentLength > 0:
		return 400 // a body would be read as frames
	case h.HTTP10, !seen.connectionUpgrade, seen.twice, string(h.Method) != "GET":
		return 400
	case seen.version == nil:
		return 400
	case string(seen.version) != "13":
		return 426
	case !validKey(h.Key):
		return 400
	}
	return 0
}

// validKey tells whether the key has the form of 16 bytes in base64. RFC 6455
// section 4.2.1: what they decode to does not matter.
func validKey(key []byte) bool {
	const digits = 22
	if len(key) != digits+len("==") || key[digits] != '=' || key[digits+1] != '=' {
		return false
	}
	for _, c := range key[:digits] {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}
