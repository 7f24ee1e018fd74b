package api

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// decoder reads the JSON bodies of publish requests, token by token, into
// strings of its own: nothing of the body is kept. It refuses duplicate member
// names at every depth, invalid UTF-8 and anything after the value. A decoder
// serves one request at a time; requests take it from a pool.
type decoder struct {
	src  bytes.Buffer
	json jsontext.Decoder
	text []byte // decoded strings of the event being read, one behind the other
	name []byte // scratch for a member name with escapes
	chs  []span // channels of the event being read, in text
}

// span is a part of decoder.text.
type span struct{ from, to int }

// readObject checks that a body that says nothing is one JSON object, or empty.
func (d *decoder) readObject(body []byte) *refusal {
	if len(body) == 0 {
		return nil
	}
	d.begin(body)
	if k := d.json.PeekKind(); k != '{' && k != jsontext.KindInvalid {
		return d.wrongForm("the request body", "a JSON object", k)
	}
	if r := d.skip(); r != nil {
		return r
	}
	return d.end()
}

// begin starts the reading of a body, which is borrowed until end or the next begin.
func (d *decoder) begin(body []byte) {
	d.src = *bytes.NewBuffer(body)
	d.json.Reset(&d.src)
}

// end checks that nothing follows the value.
func (d *decoder) end() *refusal {
	if _, err := d.json.ReadToken(); err != io.EOF {
		if err == nil {
			return refuse(400, codeBadJSON, "the request body goes on after its JSON object")
		}
		return badJSON(err)
	}
	return nil
}

// release lets go of the body. A decoder in the pool holds scratch only, and
// not the scratch of an extraordinary body.
func (d *decoder) release() {
	const most = 64 << 10
	d.src = bytes.Buffer{}
	d.json.Reset(&d.src)
	if cap(d.text) > most {
		d.text = nil
	}
	if cap(d.chs) > most/16 {
		d.chs = nil
	}
	d.name = d.name[:0]
}

// open reads the beginning of an object that refusals call what.
func (d *decoder) open(what string) *refusal {
	if k := d.json.PeekKind(); k != '{' && k != jsontext.KindInvalid {
		return d.wrongForm(what, "a JSON object", k)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return badJSON(err)
	}
	return nil
}

// close reads the end of an object or array, or reports why it did not come.
func (d *decoder) close() *refusal {
	if _, err := d.json.ReadToken(); err != nil {
		return badJSON(err)
	}
	return nil
}

// member reads a member's name; it is valid until the next one.
func (d *decoder) member() ([]byte, *refusal) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return nil, badJSON(err)
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	if d.name, err = jsontext.AppendUnquote(d.name[:0], raw); err != nil {
		return nil, badJSON(err)
	}
	return d.name, nil
}

// stringMember reads a member that must be a string; null leaves it absent.
func (d *decoder) stringMember(what string, bit members, given *members) (span, *refusal) {
	switch k := d.json.PeekKind(); k {
	case 'n':
		return span{}, d.skip()
	case '"':
		*given |= bit
		return d.readText()
	case jsontext.KindInvalid:
		return span{}, d.skip() // reports the error
	default:
		return span{}, d.wrongForm(what, "a JSON string", k)
	}
}

// readText reads one string into d.text.
func (d *decoder) readText() (span, *refusal) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return span{}, badJSON(err)
	}
	from := len(d.text)
	if bytes.IndexByte(raw, '\\') < 0 {
		d.text = append(d.text, raw[1:len(raw)-1]...)
	} else if d.text, err = jsontext.AppendUnquote(d.text, raw); err != nil {
		return span{}, badJSON(err)
	}
	return span{from, len(d.text)}, nil
}

// boolMember reads a member that must be true or false.
func (d *decoder) boolMember(what string, bit members, given *members) *refusal {
	switch k := d.json.PeekKind(); k {
	case 't':
		*given |= bit
	case 'f', 'n', jsontext.KindInvalid:
	default:
		return d.wrongForm(what, "true or false", k)
	}
	return d.skip()
}

// keyMember reads an idempotency key, whose faults have a code of their own.
func (d *decoder) keyMember(given *members) (span, *refusal) {
	switch k := d.json.PeekKind(); k {
	case 'n', '"', jsontext.KindInvalid:
		return d.stringMember("idempotency_key", hasKey, given)
	default:
		r := d.wrongForm("idempotency_key", "a JSON string", k)
		r.code = codeBadKey
		return span{}, r
	}
}

// anyMember notes a member whatever it is, unless it is null.
func (d *decoder) anyMember(bit members, given *members) *refusal {
	if d.json.PeekKind() != 'n' {
		*given |= bit
	}
	return d.skip()
}

// skip reads a value and forgets it.
func (d *decoder) skip() *refusal {
	if err := d.json.SkipValue(); err != nil {
		return badJSON(err)
	}
	return nil
}

// wrongForm refuses a value of another kind than the one expected.
func (d *decoder) wrongForm(what, expected string, found jsontext.Kind) *refusal {
	text := what + " must be " + expected + ", got " + kindName(found)
	if what == "data" {
		text += ": encode the payload first (JSON.stringify, json_encode)"
	}
	return refuse(400, codeBadJSON, text)
}

// kindName is a JSON kind with its article.
func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	default:
		return "an array"
	}
}

// badJSON is the refusal of a body that is not JSON, with the place of the fault.
func badJSON(err error) *refusal {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return refuse(400, codeBadJSON, "the request body is empty: a JSON object is expected")
	case errors.As(err, &syntax):
		cause := syntax.Err
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return refuse(400, codeBadJSON, "the request body gives a member name twice, at byte "+grouped(syntax.ByteOffset))
		case errors.Is(cause, io.ErrUnexpectedEOF):
			return refuse(400, codeBadJSON, "the request body is not JSON: it ends at byte "+grouped(syntax.ByteOffset)+" inside a value")
		}
		return refuse(400, codeBadJSON, "the request body is not JSON: "+cause.Error()+" at byte "+grouped(syntax.ByteOffset))
	default:
		return refuse(400, codeBadJSON, "the request body is not JSON: "+err.Error())
	}
}
