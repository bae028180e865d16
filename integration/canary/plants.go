// SPDX-License-Identifier: Apache-2.0

package canary

import "strings"

// placeholder stands for a name in what is given to [Plants.Plant].
const placeholder = "§"

// Plants makes names up, and remembers where each is planted. The zero Plants has none.
type Plants struct {
	Names []string
	where []string
}

// Name returns a new name, which can be part of any name in Kubernetes: 10 lower-case letters.
func (p *Plants) Name(where string) string {
	digits := [4]byte{}
	for n, i := len(p.Names)*7919+3, len(digits)-1; i >= 0; i-- {
		digits[i] = "bcdfghjklmnpqrstvwxz"[n%20] // 20^4 names, of no syllables
		n /= 20
	}
	name := "numbat" + string(digits[:])
	p.Names, p.where = append(p.Names, name), append(p.where, where)
	return name
}

// Plant returns the text with a new name for each §.
func (p *Plants) Plant(text string) string {
	parts := strings.Split(text, placeholder)
	var b strings.Builder
	for i, part := range parts {
		b.WriteString(part)
		if i < len(parts)-1 {
			before := b.String()
			b.WriteString(p.Name(before[max(0, len(before)-80):]))
		}
	}
	return b.String()
}

// Where returns the text before the place where a name was planted.
func (p *Plants) Where(name string) string {
	for i, known := range p.Names {
		if known == name {
			return p.where[i]
		}
	}
	return ""
}
