package main

import (
	"fmt"
	"strings"
)

// writeDecoder writes the method that reads the payload, and the one that looks
// into what it holds.
func (d *description) writeDecoder(b *strings.Builder, p *payload) {
	name := camel(p.Name)
	method := p.decode()
	if method == "Decode" {
		b.WriteString("// Decode reads the payload")
		if d.pointsInto(p) {
			b.WriteString("; slices point into p")
		}
		b.WriteString(". After an error m is zero.\n")
	}
	fmt.Fprintf(b, "func (m *%s) %s(p []byte) error {\n", name, method)
	inner := p.checks() && method == "Decode"
	if inner {
		fmt.Fprintf(b, "\tif m.decode(p) != nil || !m.whole() {\n\t*m = %s{}\nreturn ErrPayload\n}\nreturn nil\n}\n\n", name)
		fmt.Fprintf(b, "func (m *%s) decode(p []byte) error {\n", name)
	}
	header := p.header()
	required := p.required(header)
	after := len(p.trailer()) > 0 || len(p.later()) > 0 || p.items() >= 0
	n := d.writeRuns(b, p, required, 0, after)
	if i := p.items(); i >= 0 {
		d.writeItems(b, p, p.Fields[i], len(p.trailer()) > 0)
	}
	trailer := p.required(p.trailer())
	n = d.writeRuns(b, p, trailer, n, len(p.later()) > 0)
	for i, f := range p.later() {
		if i == 0 {
			for _, f := range p.later() {
				fmt.Fprintf(b, "\tm.%s = %s\n", camel(f.Name), zero(d, f))
			}
		}
		b.WriteString("\tif len(p) == 0 {\n\t\treturn nil\n\t}\n")
		n = d.writeRuns(b, p, []*field{f}, n, i < len(p.later())-1)
	}
	b.WriteString("\treturn nil\n}\n\n")
	if p.checks() {
		fmt.Fprintf(b, "// whole says whether what m holds can be decoded.\nfunc (m *%s) whole() bool {\n", name)
		for _, f := range p.Fields {
			if f.holds != nil {
				v := lowerCamel(f.Name)
				fmt.Fprintf(b, "\tvar %s %s\n\tif len(m.%s) > 0 && %s.%s(m.%s) != nil {\nreturn false\n}\n",
					v, camel(f.holds.Name), camel(f.Name), v, f.holds.decode(), camel(f.Name))
			}
		}
		b.WriteString("\treturn true\n}\n\n")
	}
}

func zero(d *description, f *field) string {
	switch {
	case f.Type == "bool":
		return "false"
	case f.Type == "target":
		return "Target{}"
	case d.long(f):
		return "p[:0:0]"
	}
	return "0"
}

// pointsInto says whether what is decoded points into the payload.
func (d *description) pointsInto(p *payload) bool {
	for _, f := range p.Fields {
		if f.Type == "items" || d.long(f) {
			return true
		}
	}
	return false
}

// writeRuns writes the code that takes fields off p, and gives the number of the
// next run. With more, p is left behind them.
func (d *description) writeRuns(b *strings.Builder, p *payload, fields []*field, n int, more bool) int {
	runs := d.runs(fields)
	for i, r := range runs {
		array := fmt.Sprintf("f%d", n)
		d.writeFail(b, p, fmt.Sprintf("len(p) < %d", r.size))
		fmt.Fprintf(b, "\t%s := (*[%d]byte)(p)\n", array, r.size)
		at := 0
		for _, f := range r.fields {
			if !d.long(f) {
				fmt.Fprintf(b, "\tm.%s = %s\n", camel(f.Name), d.get(array, at, f))
				at += d.size(f)
			}
		}
		last := i == len(runs)-1 && !more
		if f := d.tail(r); f != nil {
			size := fmt.Sprintf("n%d", n)
			fmt.Fprintf(b, "\tp = p[%d:]\n\t%s := binary.BigEndian.Uint32(%s[%d:%d])\n", r.size, size, array, at, at+4)
			d.writeFail(b, p, "uint64("+size+") > uint64(len(p))")
			fmt.Fprintf(b, "\tm.%s = p[:%s:%s]\n", camel(f.Name), size, size)
			if !last {
				fmt.Fprintf(b, "\tp = p[%s:]\n", size)
			}
		} else if !last {
			fmt.Fprintf(b, "\tp = p[%d:]\n", r.size)
		}
		n++
	}
	return n
}

func (d *description) writeFail(b *strings.Builder, p *payload, condition string) {
	fmt.Fprintf(b, "\tif %s {\n\t\t*m = %s{}\n\t\treturn ErrPayload\n\t}\n", condition, camel(p.Name))
}

// get gives the expression that reads a field at a place of an array.
func (d *description) get(array string, at int, f *field) string {
	number := func(bits string, at int) string {
		return fmt.Sprintf("binary.BigEndian.Uint%s(%s[%d:%d])", bits, array, at, at+sizes["u"+bits])
	}
	basic := d.basic(f)
	var value string
	switch {
	case f.Type == "bool":
		return fmt.Sprintf("%s[%d] != 0", array, at)
	case basic == "target":
		return fmt.Sprintf("Target{Kind(%s[%d]), %s}", array, at, number("64", at+1))
	case basic == "u8":
		value = fmt.Sprintf("%s[%d]", array, at)
	default:
		value = number(basic[1:], at)
	}
	if basic == f.Type {
		return value
	}
	return f.Type + "(" + value + ")"
}

// writeItems writes the code that looks at every item, so that walking them later
// cannot fail.
func (d *description) writeItems(b *strings.Builder, p *payload, f *field, more bool) {
	item := lowerCamel(f.item.Name)
	rest := "p"
	if !more {
		rest = "rest"
		b.WriteString("\trest := p\n")
	}
	fmt.Fprintf(b, "\tm.items = p\n\tfor range m.%s {\n\t\tb, behind, ok := cut(%s)\n\t\tvar %s %s\n", camel(f.Count), rest, item, camel(f.item.Name))
	condition := fmt.Sprintf("!ok || %s.%s(b) != nil", item, f.item.decode())
	if f.item.checks() && f.item.decode() == "decode" {
		condition += " || !" + item + ".whole()"
	}
	d.writeFail(b, p, condition)
	fmt.Fprintf(b, "\t\t%s = behind\n\t}\n", rest)
}
