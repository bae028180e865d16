// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"math/bits"
)

// A block is so many bytes that a mask with a bit for each of them, the lowest for the
// first, fits into a word.
const blockBytes = 64

// A stringTracker knows, from one block to the next, what is within a string.
type stringTracker struct {
	inside  uint64 // all bits set if the next block starts within a string
	escaped uint64 // 1 if it starts with what a backslash escapes
}

// brackets returns a mask of the brackets in block that are outside of strings.
func (t *stringTracker) brackets(block *[blockBytes]byte) uint64 {
	w0, w1 := binary.LittleEndian.Uint64(block[0:]), binary.LittleEndian.Uint64(block[8:])
	w2, w3 := binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:])
	w4, w5 := binary.LittleEndian.Uint64(block[32:]), binary.LittleEndian.Uint64(block[40:])
	w6, w7 := binary.LittleEndian.Uint64(block[48:]), binary.LittleEndian.Uint64(block[56:])

	brackets := gather(bracket(w0)) | gather(bracket(w1))<<8 | gather(bracket(w2))<<16 | gather(bracket(w3))<<24 |
		gather(bracket(w4))<<32 | gather(bracket(w5))<<40 | gather(bracket(w6))<<48 | gather(bracket(w7))<<56
	quotes := gather(equal(w0, '"')) | gather(equal(w1, '"'))<<8 | gather(equal(w2, '"'))<<16 | gather(equal(w3, '"'))<<24 |
		gather(equal(w4, '"'))<<32 | gather(equal(w5, '"'))<<40 | gather(equal(w6, '"'))<<48 | gather(equal(w7, '"'))<<56
	slashes := first(w0, '\\') | first(w1, '\\') | first(w2, '\\') | first(w3, '\\') |
		first(w4, '\\') | first(w5, '\\') | first(w6, '\\') | first(w7, '\\')
	if slashes|t.escaped != 0 {
		quotes &^= t.escapes(block)
	}
	// Sum up the quotes: a bit is now set if an odd number of them is at or below.
	quotes ^= quotes << 1
	quotes ^= quotes << 2
	quotes ^= quotes << 4
	quotes ^= quotes << 8
	quotes ^= quotes << 16
	quotes ^= quotes << 32
	within := quotes ^ t.inside
	t.inside = -(within >> 63)
	return brackets &^ within
}

// escapes returns a mask of the bytes in block that a backslash escapes.
func (t *stringTracker) escapes(block *[blockBytes]byte) uint64 {
	var slashes uint64
	for i := 0; i < blockBytes; i += 8 {
		slashes |= gather(equal(binary.LittleEndian.Uint64(block[i:]), '\\')) << i
	}
	escaped := t.escaped
	t.escaped = 0
	for slashes &^= escaped; slashes != 0; {
		slash := slashes & -slashes
		escaped |= slash << 1
		slashes &^= slash | slash<<1
		t.escaped = slash >> 63
	}
	return escaped
}

// Eight bytes are looked at as one number, the first byte lowest. What is found of a
// byte is flagged in its bit 7.
const (
	ones  = 0x0101010101010101
	flags = ones << 7
	low7  = flags - ones
)

// equal flags the bytes of word that equal c.
func equal(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return ^((word&low7 + low7) | word | low7)
}

// first flags the first byte of word that equals c, and possibly some behind it. It
// is cheaper than equal.
func first(word uint64, c byte) uint64 {
	word ^= ones * uint64(c)
	return (word - ones) &^ word & flags
}

// bracket flags the bytes of word that are brackets if they are outside of strings:
// in JSON, no other byte outside of them has bits 6, 4 and 3.
func bracket(word uint64) uint64 { return word << 1 & (word << 3) & (word << 4) & flags }

// gather makes the flags of eight bytes the lowest eight bits.
func gather(flags uint64) uint64 { return flags * 0x0002040810204081 >> 56 }

// firstByte is the index of the first byte that is flagged.
func firstByte(flags uint64) int { return bits.TrailingZeros64(flags) / 8 }
