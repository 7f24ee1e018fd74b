package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
)

// SocketIDs makes and reads the socket ids of one node. An id is one block
//
//	| node uint16 | loop uint16 | slot uint32 | generation uint32 | 0 uint32 |   big endian
//
// encrypted with AES-128 and printed as two decimal uint64 with a dot between them.
// Nobody can guess one or make one up, and it needs no table: what decrypts to
// another node, or to a last word other than 0, is not ours.
//
// Any goroutine may use it.
type SocketIDs struct {
	// Immutable after NewSocketIDs.
	block cipher.Block
	node  uint16

	blocks sync.Pool // of *idBlock: a block on a stack would escape into the cipher
}

type idBlock [aes.BlockSize]byte

// NewSocketIDs takes a key that must be random per process start: then an id, and
// what was signed for it, is never valid again after a restart. node distinguishes
// the nodes of a cluster.
func NewSocketIDs(key [16]byte, node uint16) *SocketIDs {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 bytes are a key of AES-128
	}
	ids := &SocketIDs{block: block, node: node}
	ids.blocks.New = func() any { return new(idBlock) }
	return ids
}

func (ids *SocketIDs) get() *idBlock {
	return ids.blocks.Get().(*idBlock) //nolint:forcetypeassert // the pool holds nothing else
}

// Append appends the id of a connection: at most 41 bytes. No allocation.
func (ids *SocketIDs) Append(dst []byte, loop uint16, slot, gen uint32) []byte {
	b := ids.get()
	binary.BigEndian.PutUint16(b[0:], ids.node)
	binary.BigEndian.PutUint16(b[2:], loop)
	binary.BigEndian.PutUint32(b[4:], slot)
	binary.BigEndian.PutUint32(b[8:], gen)
	binary.BigEndian.PutUint32(b[12:], 0)
	ids.block.Encrypt(b[:], b[:])
	dst = strconv.AppendUint(dst, binary.BigEndian.Uint64(b[0:]), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, binary.BigEndian.Uint64(b[8:]), 10)
	ids.blocks.Put(b)
	return dst
}

// Parse reads an id of this node. ok is false for anything that Append has not made
// with the same key and node; the connection may be gone all the same, which its
// generation tells.
func (ids *SocketIDs) Parse(s string) (loop uint16, slot, gen uint32, ok bool) {
	first, second, found := strings.Cut(s, ".")
	if !found {
		return 0, 0, 0, false
	}
	high, okHigh := parseDecimal(first)
	low, okLow := parseDecimal(second)
	if !okHigh || !okLow {
		return 0, 0, 0, false
	}
	b := ids.get()
	defer ids.blocks.Put(b)
	binary.BigEndian.PutUint64(b[0:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	ids.block.Decrypt(b[:], b[:])
	if binary.BigEndian.Uint16(b[0:]) != ids.node || binary.BigEndian.Uint32(b[12:]) != 0 {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), true
}

// parseDecimal reads a uint64 in the one spelling that Append uses: no sign, no
// leading zero.
func parseDecimal(s string) (uint64, bool) {
	if len(s) == 0 || len(s) > 20 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	v := uint64(0)
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 || v > (1<<64-1-uint64(c))/10 {
			return 0, false
		}
		v = v*10 + uint64(c)
	}
	return v, true
}
