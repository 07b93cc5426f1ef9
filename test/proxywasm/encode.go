// SPDX-License-Identifier: Apache-2.0

package proxywasm

import "slices"

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func section(out []byte, id byte, body []byte) []byte {
	return join(out, []byte{id}, unsigned(uint64(len(body))), body)
}

func vector(n int, item func(int) []byte) []byte {
	out := unsigned(uint64(n))
	for i := range n {
		out = append(out, item(i)...)
	}
	return out
}

func name(s string) []byte { return join(unsigned(uint64(len(s))), []byte(s)) }

func constant(n int32) []byte { return join([]byte{opConst}, signed(int64(n))) }

func local(i byte) []byte { return []byte{opLocalGet, i} }

func get(global byte) []byte { return []byte{opGlobalGet, global} }

func set(global byte) []byte { return []byte{opGlobalSet, global} }

func call(function byte) []byte { return []byte{opCall, function} }

// load a word from an address.
func load(at int32) []byte { return join(constant(at), []byte{opLoad, 2, 0}) }

// unsigned and signed numbers are LEB128.
func unsigned(n uint64) []byte {
	var out []byte
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(out, byte(n))
}

func signed(n int64) []byte {
	var out []byte
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
