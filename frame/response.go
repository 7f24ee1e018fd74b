package frame

import (
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// acceptGUID is appended to the key before hashing, RFC 6455 section 1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendUpgrade appends the 101 that answers a valid upgrade. key is Head.Key,
// extensionsResponse what NegotiateDeflate returned or "". Allocates only when dst
// is too small.
func AppendUpgrade(dst []byte, key []byte, extensionsResponse string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, key)
	if extensionsResponse != "" {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: "...)
		dst = append(dst, extensionsResponse...)
	}
	return append(dst, "\r\n\r\n"...)
}

// appendAccept proves to the client that its key was read, RFC 6455 section 4.2.2.
func appendAccept(dst, key []byte) []byte {
	var buf [64]byte // a valid key has 24 bytes, the GUID 36
	sum := sha1.Sum(append(append(buf[:0], key...), acceptGUID...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendHTTPError appends a whole response that refuses a request and ends the
// connection: a JSON body with message, code and status.
func AppendHTTPError(dst []byte, status int, code, message string) []byte {
	return appendRefusal(dst, status, append(appendFault(nil, status, code, message), '}'))
}

// AppendHTTPLimit is AppendHTTPError for a limit that the request is over: the body
// also has the limit, what was found, and knob, the configuration key.
func AppendHTTPLimit(dst []byte, status int, code, message string, limit, actual int64, knob string) []byte {
	body := append(appendFault(nil, status, code, message), `,"limit":`...)
	body = append(strconv.AppendInt(body, limit, 10), `,"actual":`...)
	body = append(strconv.AppendInt(body, actual, 10), `,"knob":`...)
	return appendRefusal(dst, status, append(appendJSON(body, knob), '}'))
}

// appendFault appends the beginning of the body, without its closing brace.
func appendFault(body []byte, status int, code, message string) []byte {
	body = append(body, `{"error":`...)
	body = appendJSON(body, message)
	body = append(body, `,"code":`...)
	body = appendJSON(body, code)
	body = append(body, `,"status":`...)
	return strconv.AppendInt(body, int64(status), 10)
}

// appendRefusal appends status line, fields and body.
func appendRefusal(dst []byte, status int, body []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reasonPhrase(status)...)
	dst = append(dst, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	if status == 426 {
		// RFC 9110 section 15.5.22 and RFC 6455 section 4.4.
		dst = append(dst, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n\r\n"...)
	} else {
		dst = append(dst, "\r\nConnection: close\r\n\r\n"...)
	}
	return append(dst, body...)
}

// reasonPhrase is the text of the statuses that a connection can be refused with.
func reasonPhrase(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 426:
		return "Upgrade Required"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 503:
		return "Service Unavailable"
	}
	return "Error" // the phrase has no meaning, RFC 9112 section 4
}

// appendJSON appends s as a JSON string, RFC 8259 section 7.
func appendJSON(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
