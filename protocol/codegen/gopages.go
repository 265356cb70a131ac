package main

import (
	"fmt"
	"strings"
)

// writePage writes how a page is ended, and how its items are walked.
func (d *description) writePage(b *strings.Builder, p *payload) {
	name, f := camel(p.Name), p.Fields[p.items()]
	var late []string
	size := 0
	for _, x := range p.header() {
		if size += d.size(x); x.Late {
			late = append(late, camel(x.Name))
		}
	}
	for _, x := range p.trailer() {
		late = append(late, camel(x.Name))
	}
	comment(b, "", fmt.Sprintf("Finish ends the page that begins at start and goes to the end of dst: it fills in the length, %s.", list(late)))
	fmt.Fprintf(b, "func (m %s) Finish(dst []byte, start int) []byte {\n\tf := (*[%d]byte)(dst[start+HeaderSize:])\n", name, size)
	at := 0
	for _, x := range p.header() {
		if x.Late {
			d.writePut(b, "f", at, x)
		}
		at += d.size(x)
	}
	if trailer := p.trailer(); len(trailer) > 0 {
		b.WriteString("\treturn end(m.appendTrailer(dst), start)\n}\n\n")
		fmt.Fprintf(b, "// appendTrailer encodes the fields behind the items.\nfunc (m %s) appendTrailer(dst []byte) []byte {\n", name)
		d.writeAppend(b, trailer, "", "", 0)
		b.WriteString("}\n\n")
	} else {
		b.WriteString("\treturn end(dst, start)\n}\n\n")
	}

	item := camel(f.item.Name)
	comment(b, "", fmt.Sprintf("%s walks the items of a decoded page in their order.", camel(f.Walk)))
	fmt.Fprintf(b, `func (m *%s) %s() iter.Seq[%s] {
	return func(yield func(%s) bool) {
		p := m.items
		for range m.%s {
			b, rest, ok := cut(p)
			var x %s
			if !ok || x.%s(b) != nil || !yield(x) {
				return
			}
			p = rest
		}
	}
}

`, name, camel(f.Walk), item, item, camel(f.Count), item, f.item.decode())
}
