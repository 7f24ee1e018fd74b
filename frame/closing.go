package frame

import (
	"encoding/binary"
	"unicode/utf8"
)

// Codes that stand for what was never sent, RFC 6455 section 7.4.1. They may not
// appear in a Close frame.
const (
	codeNone     = 1005 // Close frame without a payload
	codeAbnormal = 1006 // connection ended without a Close frame
	codeTLS      = 1015 // TLS handshake failed
)

// maxCloseText is what the two bytes of the code leave of a control frame.
const maxCloseText = maxControl - 2

// AppendClose appends a Close frame with the reason's code and text, the text
// cut at 123 bytes on a rune border. A code that may not be sent gives an empty
// payload.
func AppendClose(dst []byte, r CloseReason) []byte {
	if r.Code == 0 || r.Code == codeNone || r.Code == codeAbnormal || r.Code == codeTLS {
		return AppendHeader(dst, true, false, OpClose, 0)
	}
	text := r.Text
	if len(text) > maxCloseText {
		cut := maxCloseText
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	dst = AppendHeader(dst, true, false, OpClose, 2+len(text))
	dst = binary.BigEndian.AppendUint16(dst, r.Code)
	return append(dst, text...)
}

// CloseCode splits the payload of a Close frame. An empty payload is code 1005.
// ok is false for a payload that RFC 6455 forbids; a Sink never sees one.
func CloseCode(p []byte) (code uint16, reason string, ok bool) {
	if checkClose(p) != nil {
		return 0, "", false
	}
	if len(p) == 0 {
		return codeNone, "", true
	}
	return binary.BigEndian.Uint16(p), string(p[2:]), true
}

// checkClose judges the payload of a Close frame, RFC 6455 sections 5.5.1 and 7.4.
func checkClose(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case len(p) == 1:
		return errCloseLength
	case !mayClose(binary.BigEndian.Uint16(p)):
		return errCloseCode
	case !utf8.Valid(p[2:]):
		return errCloseUTF8
	}
	return nil
}

// mayClose tells whether an endpoint may send the code: those that RFC 6455
// defines for it, those that IANA has registered since (1012 service restart,
// 1013 try again later, 1014 bad gateway), and the two free ranges.
func mayClose(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
