package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written in the file with a unit: "64KiB".
type Size int64

// Secret is a string that no printer shows: fmt, slog, JSON and TOML all see
// "(set)" or "". Only Reveal returns it.
type Secret string

// secretShown stands for a secret that exists. A source that carries it as a
// value was copied from the output of "holdfast config" and is refused.
const secretShown = "(set)"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "(set)", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return secretShown
}

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// value is one converted value of a key. Exactly one of its parts is used, by
// the kind of the key.
type value struct {
	text string // the string itself, or a number, size or time as it was written
	num  int64  // count, bytes or nanoseconds
	flag bool
	list []string
}

// sizeUnits are in falling order, so that a search for a suffix meets "B" last.
var sizeUnits = [...]struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// parseSize reads a whole number of B, KiB, MiB, GiB or TiB.
func parseSize(text string) (int64, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, errors.New(`is not a size; write a whole number with B, KiB, MiB, GiB or TiB, such as "64KiB"`)
}

// sizeText is the shortest exact notation of n bytes.
func sizeText(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return "0B"
}

// number converts the text of a count, size or time.
func (k *key) number(text string) (int64, error) {
	switch k.kind {
	case kindSize:
		return parseSize(text)
	case kindDuration:
		d, err := time.ParseDuration(text)
		if err != nil || text == "0" {
			return 0, errors.New(`is not a time; write a number with ms, s, m or h, such as "5s"`)
		}
		return int64(d), nil
	default:
		n, err := strconv.ParseInt(text, 10, strconv.IntSize)
		if err != nil {
			return 0, errors.New("is not a whole number")
		}
		return n, nil
	}
}

// parseText converts what a variable, a flag or a default says. The error is a
// predicate ("is not a size; …") without the key, the value or the place.
func (k *key) parseText(text string) (value, error) {
	v := value{text: text}
	switch k.kind {
	case kindString:
	case kindBool:
		switch text {
		case "true", "false":
			v.flag = text == "true"
		default:
			return value{}, errors.New("is neither true nor false")
		}
	case kindList:
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				v.list = append(v.list, item)
			}
		}
	default:
		n, err := k.number(text)
		if err != nil {
			return value{}, err
		}
		v.num = n
	}
	return v, k.check(v)
}

// parseTOML converts what the file says. The same errors as parseText.
func (k *key) parseTOML(raw any) (value, error) {
	switch x := raw.(type) {
	case string:
		if k.kind == kindString || k.kind == kindSize || k.kind == kindDuration {
			return k.parseText(x)
		}
	case int64:
		switch k.kind {
		case kindInt:
			return k.parseText(strconv.FormatInt(x, 10))
		case kindSize:
			return value{}, fmt.Errorf(`has no unit; write it as a string, such as "%dB"`, x)
		case kindDuration:
			return value{}, fmt.Errorf(`has no unit; write it as a string, such as "%ds"`, x)
		}
	case bool:
		if k.kind == kindBool {
			return value{flag: x, text: strconv.FormatBool(x)}, nil
		}
	case []any:
		if k.kind == kindList {
			v := value{}
			for _, item := range x {
				s, ok := item.(string)
				if !ok {
					return value{}, errors.New("has an item that is not a string")
				}
				v.list = append(v.list, s)
			}
			return v, k.check(v)
		}
	}
	return value{}, fmt.Errorf("has the wrong type; write %s", k.wants())
}

// wants says how a value of the key is written.
func (k *key) wants() string {
	switch k.kind {
	case kindBool:
		return "true or false"
	case kindInt:
		return "a whole number without quotes"
	case kindSize:
		return `a size in quotes, such as "64KiB"`
	case kindDuration:
		return `a time in quotes, such as "5s"`
	case kindList:
		return `strings in brackets, such as ["a", "b"]`
	}
	return "a string in quotes"
}

// check applies the bounds of one key.
func (k *key) check(v value) error {
	switch k.kind {
	case kindString:
		if len(k.oneOf) > 0 && !slices.Contains(k.oneOf, v.text) {
			return fmt.Errorf("is not one of %s", strings.Join(k.oneOf, ", "))
		}
		if k.secret && v.text == secretShown {
			return fmt.Errorf("is the placeholder that \"holdfast config\" prints for a secret; write the secret itself")
		}
	case kindInt, kindSize, kindDuration:
		if v.num == 0 && k.zero != "" {
			return nil
		}
		if v.num < k.min || v.num > k.max {
			return fmt.Errorf("is out of bounds; use %s", k.bounds())
		}
	}
	return nil
}

// bounds says which numbers the key takes.
func (k *key) bounds() string {
	text := k.minText + " to " + k.maxText
	if k.maxText == "" {
		text = k.minText + " or more"
	}
	if k.zero != "" {
		text += ", or 0 for " + k.zero
	}
	return text
}

// same says whether two values of the key mean the same.
func (k *key) same(a, b value) bool {
	switch k.kind {
	case kindString:
		return a.text == b.text
	case kindBool:
		return a.flag == b.flag
	case kindList:
		return slices.Equal(a.list, b.list)
	}
	return a.num == b.num
}

// store puts the value into the key's field of a section struct.
func (k *key) store(table reflect.Value, v value) {
	field := table.Field(k.field)
	switch k.kind {
	case kindString:
		field.SetString(v.text)
	case kindBool:
		field.SetBool(v.flag)
	case kindList:
		field.Set(reflect.ValueOf(slices.Clone(v.list)))
	default:
		field.SetInt(v.num)
	}
}

// load is the reverse of store; sizes and times get their own notation.
func (k *key) load(table reflect.Value) value {
	field := table.Field(k.field)
	switch k.kind {
	case kindString:
		return value{text: field.String()}
	case kindBool:
		return value{flag: field.Bool()}
	case kindList:
		return value{list: field.Interface().([]string)}
	case kindSize:
		return value{num: field.Int(), text: sizeText(field.Int())}
	case kindDuration:
		return value{num: field.Int(), text: time.Duration(field.Int()).String()}
	}
	return value{num: field.Int(), text: strconv.FormatInt(field.Int(), 10)}
}

// literal is the value in TOML notation; a secret shows only that it exists.
func (k *key) literal(v value) string {
	switch k.kind {
	case kindString:
		if k.secret {
			return quote(Secret(v.text).String())
		}
		return quote(v.text)
	case kindSize, kindDuration:
		return quote(v.text)
	case kindBool:
		return strconv.FormatBool(v.flag)
	case kindList:
		items := make([]string, len(v.list))
		for i, item := range v.list {
			items[i] = quote(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return strconv.FormatInt(v.num, 10)
}

// quote writes a TOML basic string. strconv.Quote would use \x and \a, which
// TOML does not know.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
