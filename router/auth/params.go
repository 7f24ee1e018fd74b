package auth

import (
	"bytes"
	"slices"
	"strings"
)

// params are the parameters of a query, decoded. They are signed in this form:
//
//   - names are lower-cased and sorted bytewise; values are what they mean, without
//     escapes. Parameters of the same name keep their order.
//   - an array, sent as k[]=a&k[]=b or k[0]=a&k[1]=b, is one parameter k=a,b.
//   - auth_signature is not part of it.
//
// A percent sign that begins no escape stands for itself.
type params struct {
	text []byte  // names and values one behind the other
	list []param // without auth_signature

	// Of the auth parameters, by their index: how often each was found, and where.
	found [paramCount]int
	at    [paramCount]span
}

type span struct{ from, to int }

// param is one parameter; the spans are of params.text.
type param struct {
	name, value span
	array       bool // one element of an array
}

// The auth parameters.
const (
	paramKey = iota
	paramTimestamp
	paramVersion
	paramSignature
	paramBodyMD5
	paramCount
)

var paramNames = [paramCount]string{"auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"}

var errMissing, errTwice = func() (none, two [paramCount]error) {
	for i, name := range paramNames {
		none[i], two[i] = missing(name), twice(name)
	}
	return none, two
}()

// maxParams bounds the parameters of one request.
const maxParams = 256

// read takes a query apart. plusIsSpace: a plus stands for a blank.
func (p *params) read(query string, plusIsSpace bool) error {
	p.text, p.list = p.text[:0], p.list[:0]
	p.found = [paramCount]int{}
	sorted := true
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		if len(p.list) == maxParams {
			return errTooManyParams
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		one := p.add(rawName, rawValue, plusIsSpace)
		if i := authParam(p.bytes(one.name)); i >= 0 && !one.array {
			p.found[i]++
			p.at[i] = one.value
			if i == paramSignature {
				continue
			}
		}
		if n := len(p.list); n > 0 && bytes.Compare(p.bytes(p.list[n-1].name), p.bytes(one.name)) > 0 {
			sorted = false
		}
		p.list = append(p.list, one)
	}
	if !sorted {
		slices.SortStableFunc(p.list, func(a, b param) int {
			return bytes.Compare(p.bytes(a.name), p.bytes(b.name))
		})
	}
	return nil
}

// add decodes one parameter into text.
func (p *params) add(rawName, rawValue string, plusIsSpace bool) param {
	var one param
	from := len(p.text)
	p.text = appendDecoded(p.text, rawName, plusIsSpace)
	name := p.text[from:]
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] = c + ('a' - 'A')
		}
	}
	base := len(name)
	if n := arrayBase(name); n > 0 {
		base, one.array = n, true
	}
	one.name = span{from, from + base}
	from = len(p.text)
	p.text = appendDecoded(p.text, rawValue, plusIsSpace)
	one.value = span{from, len(p.text)}
	return one
}

// arrayBase returns the length of k when name is k[] or k[digits], else 0.
func arrayBase(name []byte) int {
	if len(name) < 3 || name[len(name)-1] != ']' {
		return 0
	}
	i := len(name) - 2
	for i > 0 && name[i]-'0' <= 9 {
		i--
	}
	if name[i] != '[' {
		return 0
	}
	return i
}

// authParam returns the index of an auth parameter's name, -1 for any other name.
func authParam(name []byte) int {
	for i := range paramNames {
		if string(name) == paramNames[i] {
			return i
		}
	}
	return -1
}

func (p *params) bytes(s span) []byte { return p.text[s.from:s.to] }

// value is the value of an auth parameter; empty when it was not found.
func (p *params) value(i int) []byte {
	if p.found[i] == 0 {
		return nil
	}
	return p.bytes(p.at[i])
}

// appendSigned appends the parameters in the form that is signed.
func (p *params) appendSigned(dst []byte) []byte {
	for i, one := range p.list {
		name := p.bytes(one.name)
		if i > 0 {
			if before := p.list[i-1]; one.array && before.array && bytes.Equal(p.bytes(before.name), name) {
				dst = append(dst, ',')
				dst = append(dst, p.bytes(one.value)...)
				continue
			}
			dst = append(dst, '&')
		}
		dst = append(dst, name...)
		dst = append(dst, '=')
		dst = append(dst, p.bytes(one.value)...)
	}
	return dst
}

// appendDecoded appends s with its escapes resolved. What lies between two of them,
// mostly the whole of s, is copied at once.
func appendDecoded(dst []byte, s string, plusIsSpace bool) []byte {
	special := "%"
	if plusIsSpace && strings.IndexByte(s, '+') >= 0 {
		special = "%+"
	}
	for {
		i := strings.IndexAny(s, special)
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c, width := s[i], 1
		switch {
		case c == '+':
			c = ' '
		case i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c, width = fromHex(s[i+1])<<4|fromHex(s[i+2]), 3
		}
		dst = append(dst, c)
		s = s[i+width:]
	}
}

func isHex(c byte) bool { return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f' }

// fromHex is the value of a digit that isHex.
func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
