package frame

// Answers to a permessage-deflate offer, RFC 7692 section 7.1. No context is
// kept in either direction: a broadcast is compressed once for all, and an idle
// connection owns no window.
const (
	deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	// deflateAnswerWindow repeats the window that the client asked for, which
	// accepts the offer (RFC 7692 section 7.1.2.1).
	deflateAnswerWindow = deflateAnswer + "; server_max_window_bits=15"
)

// NegotiateDeflate answers the offers of a Sec-WebSocket-Extensions field with
// the value of the response's field: the first offer of permessage-deflate that
// can be honoured. ok is false when there is none, or when the field is not well
// formed. Offers that are declined: parameters that are unknown, repeated or have
// a wrong value, and a server_max_window_bits below 15, because the one
// compressed form of a broadcast may look back the full 32 KiB.
func NegotiateDeflate(extensionsHeader []byte) (response string, ok bool) {
	s := scanner{rest: extensionsHeader}
	for {
		name, valid := s.token()
		if !valid {
			return "", false
		}
		answer, valid := s.offer(string(name) == "permessage-deflate")
		if !valid {
			return "", false
		}
		if response == "" {
			response = answer
		}
		if s.next(',') {
			continue
		}
		if !s.end() {
			return "", false
		}
		return response, response != ""
	}
}

// Parameters of an offer, as bits to find repeated ones.
const (
	paramServerContext = 1 << iota
	paramClientContext
	paramServerWindow
	paramClientWindow
)

// offer reads the parameters of one offer. answer is empty when it is declined
// or of another extension; valid is false when it does not follow the grammar of
// RFC 6455 section 9.1.
func (s *scanner) offer(deflate bool) (answer string, valid bool) {
	seen, declined := 0, !deflate
	for s.next(';') {
		name, valid := s.token()
		if !valid {
			return "", false
		}
		var value []byte
		has := s.next('=')
		if has {
			if value, valid = s.value(); !valid {
				return "", false
			}
		}
		bit := deflateParam(name, value, has)
		declined = declined || bit == 0 || seen&bit != 0
		seen |= bit
	}
	switch {
	case declined:
		return "", true
	case seen&paramServerWindow != 0:
		return deflateAnswerWindow, true
	}
	return deflateAnswer, true
}

// deflateParam is the bit of a parameter that can be honoured, else 0.
func deflateParam(name, value []byte, has bool) int {
	switch string(name) {
	case "server_no_context_takeover":
		if !has {
			return paramServerContext
		}
	case "client_no_context_takeover":
		if !has {
			return paramClientContext
		}
	case "server_max_window_bits":
		if has && string(value) == "15" {
			return paramServerWindow
		}
	case "client_max_window_bits": // a hint that the client could use a smaller window
		if !has || windowBits(value) {
			return paramClientWindow
		}
	}
	return 0
}

// windowBits tells whether p is a number from 8 to 15 without leading zeros.
func windowBits(p []byte) bool {
	switch len(p) {
	case 1:
		return p[0] == '8' || p[0] == '9'
	case 2:
		return p[0] == '1' && p[1] >= '0' && p[1] <= '5'
	}
	return false
}

// scanner reads the grammar of an extension list. White space may stand between
// any two of its parts.
type scanner struct {
	rest []byte
}

func (s *scanner) skip() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) end() bool {
	s.skip()
	return len(s.rest) == 0
}

// next takes c when it comes next.
func (s *scanner) next(c byte) bool {
	s.skip()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) token() ([]byte, bool) {
	s.skip()
	n := tokenLen(s.rest)
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t, n > 0
}

// value reads a token or a quoted string whose content is a token. None of the
// values that can be honoured needs an escape, so one is not well formed here.
func (s *scanner) value() ([]byte, bool) {
	if !s.next('"') {
		return s.token()
	}
	n := tokenLen(s.rest)
	if n == 0 || n == len(s.rest) || s.rest[n] != '"' {
		return nil, false
	}
	t := s.rest[:n]
	s.rest = s.rest[n+1:]
	return t, true
}
