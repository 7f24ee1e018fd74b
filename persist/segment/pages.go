package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// pageFile walks the pages of a bbolt file without mapping it, so that any damage
// is an error and never a panic or a memory fault. What passes may be given to
// bbolt. bbolt's own check is of no use for a damaged file: it runs on a goroutine
// of its own through the mapping, where a fault ends the process, and it must open
// the file first.
//
// bbolt's pages, in the byte order of the machine, pgid = offset / page size:
//
//	header  = | pgid u64 | flags u16: 1 branch, 2 leaf, 4 meta, 16 freelist | count u16 | overflow u32 |
//	meta    = | magic u32 | version u32 | page size u32 | flags u32 | root pgid u64 | root sequence u64 |
//	          | freelist pgid u64 | high water pgid u64 | txid u64 | FNV-1a 64 of all before u64 |
//	branch  = count × | pos u32 | key length u32 | pgid u64 |
//	leaf    = count × | flags u32: 1 bucket | pos u32 | key length u32 | value length u32 |
//	bucket  = value of a leaf element: | root pgid u64; 0 = a leaf page follows inline | sequence u64 |
//	free    = count × pgid u64; with count 0xffff the first is the count
//
// pos counts from its element.
type pageFile struct {
	r    io.ReaderAt
	size int64

	page     int64  // bytes of a page
	root     uint64 // of the newest valid meta page
	freelist uint64
	high     uint64 // pages from here on are not in use
	oneMeta  bool   // the other meta page is damaged, and may have been the newer one
	seen     []uint64

	// leaf is called for every key with the bucket that holds it; it borrows.
	leaf func(bucket, key, value []byte) error

	branchesOnly bool   // walkBranches: the leaves of buckets are not read
	only         []byte // walkOnly: what is below other buckets is not read
}

// allLevels as the level of the leaves: they are read too.
const allLevels = -1

const (
	boltMagic     = 0xED0CDAED
	boltVersion   = 2
	pageHeader    = 16
	pageBranch    = 1
	pageLeaf      = 2
	pageMeta      = 4
	pageFree      = 16
	metaBytes     = 64
	noFreelist    = ^uint64(0)
	maxDepth      = 64
	minPageBytes  = 1024
	maxPageBytes  = 1 << 16
	elementBytes  = 16
	bucketBytes   = 16
	bucketElement = 1
)

var native = binary.NativeEndian

// openPages finds the newest valid meta page.
func openPages(r io.ReaderAt, size int64) (*pageFile, error) {
	p := &pageFile{r: r, size: size}
	var txid uint64
	found := 0
	// The second meta page is at the first page size that fits.
	for at := int64(0); at <= maxPageBytes; at = max(at*2, minPageBytes) {
		var buf [pageHeader + metaBytes]byte
		if _, err := r.ReadAt(buf[:], at); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, err
		}
		m := buf[pageHeader:]
		page := int64(native.Uint32(m[8:]))
		sum := fnv.New64a()
		sum.Write(m[:metaBytes-8])
		switch {
		case native.Uint16(buf[8:])&pageMeta == 0, native.Uint32(m) != boltMagic, native.Uint32(m[4:]) != boltVersion,
			native.Uint64(m[metaBytes-8:]) != sum.Sum64(),
			page < minPageBytes || page > maxPageBytes || page&(page-1) != 0,
			at != 0 && at != page:
			continue
		}
		found++
		if id := native.Uint64(m[48:]); found == 1 || id > txid {
			txid = id
			p.page, p.root = page, native.Uint64(m[16:])
			p.freelist, p.high = native.Uint64(m[32:]), native.Uint64(m[40:])
		}
	}
	p.oneMeta = found == 1
	switch {
	case found == 0:
		return nil, errors.New("no valid meta page")
	case !p.metaHeader(0) || !p.metaHeader(1):
		return nil, errors.New("a meta page calls itself something else")
	case p.high < 4 || p.high > uint64(size/p.page):
		return nil, fmt.Errorf("%d pages are in use in a file of %d bytes", p.high, size)
	}
	return p, nil
}

// metaHeader: the headers of the meta pages have no checksum and never change.
func (p *pageFile) metaHeader(id uint64) bool {
	var buf [pageHeader]byte
	if _, err := p.r.ReadAt(buf[:], int64(id)*p.page); err != nil {
		return false
	}
	return native.Uint64(buf[:]) == id && native.Uint16(buf[8:]) == pageMeta
}

// walk visits every page in use. It is the whole check of the structure: each page
// is used once, keys are in order, and what is not in the tree is in the freelist.
func (p *pageFile) walk(leaf func(bucket, key, value []byte) error) error {
	p.begin(leaf)
	if err := p.walkFreelist(); err != nil {
		return err
	}
	if err := p.walkTree(nil, p.root, nil, nil, 0, allLevels); err != nil {
		return err
	}
	for id := range p.high {
		if p.seen[id/64]&(1<<(id%64)) == 0 {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}

// begin prepares a walk.
func (p *pageFile) begin(leaf func(bucket, key, value []byte) error) {
	p.leaf = leaf
	p.seen = make([]uint64, p.high/64+1)
	p.seen[0] = 3 // the two meta pages
}

// unread is the visitor of a walk that is after the structure alone.
func unread(_, _, _ []byte) error { return nil }

// walkBranches reads only what leads to the leaves, about a page in a hundred. It
// keeps bbolt's cursor from following a damaged branch in a circle, which would end
// the process: no recover ends an endless recursion. Every page is led to once, so
// there is no circle; what is wrong in a leaf is met by bbolt's assertions and by
// the checksums of the values.
func (p *pageFile) walkBranches() error {
	p.branchesOnly = true
	p.begin(unread)
	return p.walkTree(nil, p.root, nil, nil, 0, allLevels)
}

// walkOnly reads what leads to one bucket, and all of that. bbolt trusts the elements
// of a leaf: it would look for keys wherever a damaged one says they are, with a small
// bucket anywhere in Go's heap.
func (p *pageFile) walkOnly(bucket []byte) error {
	p.only = bucket
	p.begin(unread)
	return p.walkTree(nil, p.root, nil, nil, 0, allLevels)
}

// levels follows the first children from a root to a leaf: how many branches are
// above the leaves.
func (p *pageFile) levels(id uint64) (int, error) {
	var head [pageHeader + elementBytes]byte
	for depth := range maxDepth {
		if id < 2 || id >= p.high {
			return 0, fmt.Errorf("page %d is outside of %d pages", id, p.high)
		}
		if _, err := p.r.ReadAt(head[:], int64(id)*p.page); err != nil {
			return 0, fmt.Errorf("page %d: %w", id, err)
		}
		if native.Uint16(head[8:]) == pageLeaf {
			return depth, nil
		}
		id = native.Uint64(head[pageHeader+8:])
	}
	return 0, fmt.Errorf("page %d: the tree is deeper than %d", id, maxDepth)
}

func (p *pageFile) mark(id uint64) error {
	if id < 2 || id >= p.high {
		return fmt.Errorf("page %d is outside of %d pages", id, p.high)
	}
	if p.seen[id/64]&(1<<(id%64)) != 0 {
		return fmt.Errorf("page %d is used twice", id)
	}
	p.seen[id/64] |= 1 << (id % 64)
	return nil
}

// read returns a page with its overflow and marks both as used.
func (p *pageFile) read(id uint64) ([]byte, error) {
	if err := p.mark(id); err != nil {
		return nil, err
	}
	buf := make([]byte, p.page)
	if _, err := p.r.ReadAt(buf, int64(id)*p.page); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := native.Uint64(buf); got != id {
		return nil, fmt.Errorf("page %d calls itself %d", id, got)
	}
	overflow := uint64(native.Uint32(buf[12:]))
	if overflow > p.high-id-1 {
		return nil, fmt.Errorf("page %d overflows into %d more", id, overflow)
	}
	for next := id + 1; next <= id+overflow; next++ {
		if err := p.mark(next); err != nil {
			return nil, err
		}
	}
	if overflow > 0 {
		whole := make([]byte, int64(overflow+1)*p.page)
		copy(whole, buf)
		if _, err := p.r.ReadAt(whole[p.page:], int64(id+1)*p.page); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
		buf = whole
	}
	return buf, nil
}

func (p *pageFile) walkFreelist() error {
	if p.freelist == noFreelist {
		return errors.New("the freelist is missing")
	}
	buf, err := p.read(p.freelist)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if native.Uint16(buf[8:]) != pageFree {
		return fmt.Errorf("freelist: page %d is of kind %d", p.freelist, native.Uint16(buf[8:]))
	}
	ids := buf[pageHeader:]
	count := uint64(native.Uint16(buf[10:]))
	if count == 0xffff {
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("freelist: %d pages in %d bytes", count, len(ids))
	}
	last := uint64(0)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= last {
			return fmt.Errorf("freelist: page %d after %d", id, last)
		}
		if err := p.mark(id); err != nil {
			return fmt.Errorf("freelist: %w", err)
		}
		last = id
	}
	return nil
}

// walkTree walks the tree of a bucket below page id. Its keys are at least low and
// below high; nil = no bound. The leaves are leaves levels below, and not read.
func (p *pageFile) walkTree(bucket []byte, id uint64, low, high []byte, depth, leaves int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d: the tree is deeper than %d", id, maxDepth)
	}
	if leaves == 0 {
		return p.mark(id)
	}
	buf, err := p.read(id)
	if err != nil {
		return err
	}
	switch flags := native.Uint16(buf[8:]); {
	case flags == pageLeaf && leaves == allLevels:
		return p.walkLeaf(bucket, id, buf, low, high, depth)
	case flags == pageBranch:
		return p.walkBranch(bucket, id, buf, low, high, depth, leaves)
	default:
		return fmt.Errorf("page %d is of kind %d at depth %d", id, flags, depth)
	}
}

func (p *pageFile) walkBranch(bucket []byte, id uint64, buf, low, high []byte, depth, leaves int) error {
	count := int(native.Uint16(buf[10:]))
	if count == 0 {
		return fmt.Errorf("page %d: a branch without children", id)
	}
	key, err := branchKey(buf, id, 0, count)
	if err != nil {
		return err
	}
	if bytes.Compare(key, low) < 0 {
		return fmt.Errorf("page %d: child 0 is out of order", id)
	}
	if leaves != allLevels {
		leaves--
	}
	for i := range count {
		next := high
		if i+1 < count {
			if next, err = branchKey(buf, id, i+1, count); err != nil {
				return err
			}
		}
		if next != nil && bytes.Compare(key, next) >= 0 {
			return fmt.Errorf("page %d: child %d is out of order", id, i)
		}
		child := native.Uint64(buf[pageHeader+i*elementBytes+8:])
		if err := p.walkTree(bucket, child, key, next, depth+1, leaves); err != nil {
			return err
		}
		key = next
	}
	return nil
}

func branchKey(buf []byte, id uint64, i, count int) ([]byte, error) {
	at := pageHeader + i*elementBytes
	if at+elementBytes > len(buf) {
		return nil, fmt.Errorf("page %d: %d children do not fit", id, count)
	}
	k, ok := within(buf, at, uint64(native.Uint32(buf[at:])), uint64(native.Uint32(buf[at+4:])))
	if !ok {
		return nil, fmt.Errorf("page %d: the key of child %d is outside", id, i)
	}
	return k, nil
}

// within returns size bytes from pos after at.
func within(buf []byte, at int, pos, size uint64) ([]byte, bool) {
	from := uint64(at) + pos
	if from+size > uint64(len(buf)) {
		return nil, false
	}
	return buf[from : from+size : from+size], true
}

func (p *pageFile) walkLeaf(bucket []byte, id uint64, buf, low, high []byte, depth int) error {
	count := int(native.Uint16(buf[10:]))
	if pageHeader+count*elementBytes > len(buf) {
		return fmt.Errorf("page %d: %d elements do not fit", id, count)
	}
	var last []byte
	for i := range count {
		at := pageHeader + i*elementBytes
		pos, ksize, vsize := native.Uint32(buf[at+4:]), native.Uint32(buf[at+8:]), native.Uint32(buf[at+12:])
		both, ok := within(buf, at, uint64(pos), uint64(ksize)+uint64(vsize))
		if !ok {
			return fmt.Errorf("page %d: element %d is outside", id, i)
		}
		key, value := both[:ksize:ksize], both[ksize:]
		if len(key) == 0 || i > 0 && bytes.Compare(last, key) >= 0 ||
			bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d: element %d is out of order", id, i)
		}
		last = key
		switch flags := native.Uint32(buf[at:]); flags {
		case 0:
			if err := p.leaf(bucket, key, value); err != nil {
				return err
			}
		case bucketElement:
			if err := p.walkBucket(key, value, depth); err != nil {
				return fmt.Errorf("bucket %q: %w", key, err)
			}
		default:
			return fmt.Errorf("page %d: element %d has flags %d", id, i, flags)
		}
	}
	return nil
}

func (p *pageFile) walkBucket(name, value []byte, depth int) error {
	if p.only != nil && !bytes.Equal(name, p.only) {
		return nil
	}
	if len(value) < bucketBytes {
		return fmt.Errorf("its head has %d bytes", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		leaves := allLevels
		if p.branchesOnly {
			var err error
			if leaves, err = p.levels(root); err != nil {
				return err
			}
		}
		return p.walkTree(name, root, nil, nil, depth+1, leaves)
	}
	inline := value[bucketBytes:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != pageLeaf || depth > maxDepth {
		return errors.New("its inline page is not a leaf")
	}
	return p.walkLeaf(name, 0, inline, nil, nil, depth+1)
}

// withPages runs f on a file whose meta pages are sound. What is wrong is ErrDamaged,
// but for a file that cannot be opened.
func withPages(path string, f func(*pageFile) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	pages, err := openPages(file, info.Size())
	if err == nil {
		err = f(pages)
	}
	if err != nil {
		return damaged(path, "%v", err)
	}
	return nil
}

// walkFile checks the structure of a bbolt file and visits its values. Of a file with
// one damaged meta page these may be those before the last commit.
func walkFile(path string, visit func(bucket, k, v []byte) error) error {
	return withPages(path, func(p *pageFile) error { return p.walk(visit) })
}

// walkNewest is walkFile for a file that must not be taken for older than it is. A
// meta page is less than a sector, so what a power cut leaves of it is the former or
// the new one: one that is neither was damaged later, and may have been the newer.
func walkNewest(path string, visit func(bucket, k, v []byte) error) error {
	return withPages(path, func(p *pageFile) error {
		if p.oneMeta {
			return errors.New("a meta page is damaged, the other one may be older than the last commit")
		}
		return p.walk(visit)
	})
}

// bytesInUse is 0 for a file whose meta pages are damaged. A file is longer than
// what is in use: bbolt makes it grow in steps.
func bytesInUse(path string) (n int64) {
	_ = withPages(path, func(p *pageFile) error {
		n = int64(p.high) * p.page
		return nil
	})
	return n
}
