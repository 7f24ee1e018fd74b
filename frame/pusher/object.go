package pusher

// object walks the members of one JSON object and checks, on its way, that the
// whole text is that object and nothing else.
//
//	o := openObject(p)
//	for o.next() { … o.name() … o.value … }
//	if !o.ok() { malformed }
type object struct {
	p       []byte
	i       int // behind the last member's value
	first   bool
	good    bool // the walk ended behind the closing brace of a valid text
	rawName []byte
	escaped bool   // rawName holds escapes
	value   []byte // the member's value as it stands in the text, without white space around it
}

func openObject(p []byte) object {
	i := skipSpace(p, 0)
	if i >= len(p) || p[i] != '{' {
		return object{i: -1}
	}
	return object{p: p, i: i + 1, first: true}
}

// ok tells whether the text was valid. It is meaningful when next has returned false.
func (o *object) ok() bool { return o.good }

// next stands on the next member. It returns false at the end and at a fault.
func (o *object) next() bool {
	if o.i < 0 {
		return false
	}
	p := o.p
	i := skipSpace(p, o.i)
	o.i = -1
	switch {
	case i >= len(p):
		return false
	case p[i] == '}':
		o.good = skipSpace(p, i+1) == len(p)
		return false
	case o.first:
		o.first = false
	case p[i] == ',':
		i = skipSpace(p, i+1)
	default:
		return false
	}
	if i >= len(p) || p[i] != '"' {
		return false
	}
	end, escaped := skipString(p, i+1)
	if end < 0 {
		return false
	}
	o.rawName, o.escaped = p[i+1:end-1], escaped
	if i = skipSpace(p, end); i >= len(p) || p[i] != ':' {
		return false
	}
	i = skipSpace(p, i+1)
	if end = skipValue(p, i, maxDepth-1); end < 0 {
		return false
	}
	o.value = p[i:end:end]
	o.i = end
	return true
}

// maxRawName is the longest name that is looked for, channel_data, with every
// letter written as an escape of six bytes.
const maxRawName = 6 * len("channel_data")

// named tells whether the member has the name. Names are compared as JSON means
// them: letter case counts, escapes do not.
func (o *object) named(name string) bool {
	if !o.escaped {
		return string(o.rawName) == name
	}
	var room [maxRawName]byte
	if len(o.rawName) > len(room) {
		return false
	}
	return string(appendUnescaped(room[:0], o.rawName)) == name
}
