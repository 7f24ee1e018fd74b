package segment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Batch is what one Commit writes. The store reads it until Commit returns and
// changes nothing in it.
type Batch struct {
	Records []Record // in any order
	Heads   []Head
	Keys    []Key
	// DropHeads are channels whose heads are forgotten.
	DropHeads []string
	// DropKeysBefore: idempotency keys of an earlier time are dropped, oldest first
	// and at most 16,384 in a commit, so that no commit is long. Unix milliseconds; 0 = none.
	DropKeysBefore int64
	// Meta are small named values; a nil value deletes its name.
	Meta map[string][]byte
}

// check returns the first fault. A faulty batch is refused whole, before any write.
func (b *Batch) check() error {
	for i := range b.Records {
		if err := b.Records[i].check(); err != nil {
			return err
		}
	}
	for i := range b.Heads {
		if err := b.Heads[i].check(); err != nil {
			return err
		}
	}
	for i := range b.Keys {
		if err := b.Keys[i].check(); err != nil {
			return err
		}
	}
	for name, value := range b.Meta {
		if name == "" || strings.HasPrefix(name, ".") {
			return fmt.Errorf("%w: name %q", ErrBadKey, name)
		}
		if len(name) > maxNameBytes || len(value) > maxValueBytes {
			return fmt.Errorf("%w: value %.80q of %d bytes", ErrTooLarge, name, len(value))
		}
	}
	return nil
}

// touchesHeads tells whether the batch changes heads.db.
func (b *Batch) touchesHeads() bool {
	return len(b.Heads)+len(b.Keys)+len(b.DropHeads)+len(b.Meta) > 0
}

// sorted appends the records to dst in the order (class, key, seq): pages are then
// touched one after the other and the tree grows at its right ends.
func (b *Batch) sorted(dst []*Record) []*Record {
	for i := range b.Records {
		dst = append(dst, &b.Records[i])
	}
	slices.SortFunc(dst, func(x, y *Record) int {
		if x.Class != y.Class {
			return cmp.Compare(x.Class, y.Class)
		}
		if c := strings.Compare(x.Key, y.Key); c != 0 {
			return c
		}
		return cmp.Compare(x.Seq, y.Seq)
	})
	return dst
}
