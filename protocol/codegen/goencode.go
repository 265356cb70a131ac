package main

import (
	"fmt"
	"strings"
)

// run is a row of fields of known sizes: straight-line code after one look at the
// length. At most the last of them is a length, behind which its bytes follow.
type run struct {
	fields []*field
	size   int
}

// long gives the field whose bytes follow the run, or nil.
func (d *description) tail(r run) *field {
	if last := r.fields[len(r.fields)-1]; d.long(last) {
		return last
	}
	return nil
}

// runs cuts fields into runs.
func (d *description) runs(fields []*field) []run {
	var runs []run
	open := false
	for _, f := range fields {
		if !open {
			runs = append(runs, run{})
		}
		r := &runs[len(runs)-1]
		r.fields, r.size = append(r.fields, f), r.size+d.size(f)
		open = !d.long(f)
	}
	return runs
}

// writeEncoders writes the methods that append the payload.
func (d *description) writeEncoders(b *strings.Builder, p *payload) {
	page := p.items() >= 0
	name := camel(p.Name)
	for _, f := range p.frames {
		args, request := "dst []byte", "0"
		if f.asks() {
			args, request = "dst []byte, request uint32", "request"
		}
		what := "encodes the whole frame"
		switch {
		case p.Shared:
			what = "encodes a whole " + f.wire() + " frame"
		case page:
			what = "encodes the page with no item yet"
		}
		what += " at the end of dst."
		if page {
			what += " " + d.adder(p) + " adds items; Finish ends the frame."
		}
		comment(b, "", f.method()+" "+what)
		fmt.Fprintf(b, "func (m %s) %s(%s) []byte {\n", name, f.method(), args)
		switch {
		case p.Shared:
			fmt.Fprintf(b, "\treturn m.append(dst, %s, %s)\n", f.constant(), request)
		case page:
			d.writeAppend(b, p.header(), f.constant(), request, framed|open)
		default:
			d.writeAppend(b, p.Fields, f.constant(), request, framed)
		}
		b.WriteString("}\n\n")
	}
	if p.Shared {
		fmt.Fprintf(b, "func (m %s) append(dst []byte, t Type, request uint32) []byte {\n", name)
		d.writeAppend(b, p.Fields, "t", "request", framed)
		b.WriteString("}\n\n")
	}
	if p.held || len(p.frames) > 0 && len(p.pages) > 0 {
		fmt.Fprintf(b, "// AppendPayload encodes the payload alone at the end of dst.\nfunc (m %s) AppendPayload(dst []byte) []byte {\n", name)
		d.writeAppend(b, p.Fields, "", "", 0)
		b.WriteString("}\n\n")
	}
	if len(p.pages) == 0 {
		return
	}
	if len(p.frames) > 0 {
		comment(b, "", fmt.Sprintf("Append%s adds an encoded %s to the page that is being built at the end of dst.", name, name))
		fmt.Fprintf(b, "func Append%s(dst, %s []byte) []byte { return appendBytes(dst, %s) }\n\n", name, lowerCamel(p.Name), lowerCamel(p.Name))
		return
	}
	comment(b, "", "Append adds the item to the page that is being built at the end of dst.")
	fmt.Fprintf(b, "func (m %s) Append(dst []byte) []byte {\n", name)
	d.writeAppend(b, p.Fields, "", "", counted)
	b.WriteString("}\n\n")
}

// adder names what adds an item to a page.
func (d *description) adder(p *payload) string {
	item := p.Fields[p.items()].item
	if len(item.frames) > 0 {
		return "Append" + camel(item.Name)
	}
	return camel(item.Name) + ".Append"
}

// What stands before the fields, and whether more will follow.
const (
	framed  = 1 << iota // the header of a frame
	counted             // the length of an item
	open                // the length is not known yet
)

// writeAppend writes the body of a method that appends fields of m: one growth of
// dst, then every byte in its place.
func (d *description) writeAppend(b *strings.Builder, fields []*field, kind, request string, what int) {
	head := 0
	switch {
	case what&framed != 0:
		head = 10
	case what&counted != 0:
		head = 4
	}
	runs := d.runs(fields)
	size, longs := head, ""
	for _, r := range runs {
		size += r.size
		if f := d.tail(r); f != nil {
			longs += " + len(m." + camel(f.Name) + ")"
		}
	}
	fmt.Fprintf(b, "\tdst, p := room(dst, %d%s)\n", size, longs)
	for i, r := range runs {
		at := 0
		if i == 0 {
			at = head
		}
		fmt.Fprintf(b, "\tf%d := (*[%d]byte)(p)\n", i, at+r.size)
		if i == 0 && head > 0 {
			length := "uint32(len(p)-4)"
			if what&open != 0 {
				length = "0"
			}
			fmt.Fprintf(b, "\tbinary.BigEndian.PutUint32(f0[0:4], %s)\n", length)
		}
		if i == 0 && what&framed != 0 {
			fmt.Fprintf(b, "\tf0[4], f0[5] = byte(%s), 0\n\tbinary.BigEndian.PutUint32(f0[6:10], %s)\n", kind, request)
		}
		for _, f := range r.fields {
			d.writePut(b, fmt.Sprintf("f%d", i), at, f)
			at += d.size(f)
		}
		if f := d.tail(r); f != nil {
			if i < len(runs)-1 {
				fmt.Fprintf(b, "\tp = p[%d+copy(p[%d:], m.%s):]\n", at, at, camel(f.Name))
			} else {
				fmt.Fprintf(b, "\tcopy(p[%d:], m.%s)\n", at, camel(f.Name))
			}
		}
	}
	b.WriteString("\treturn dst\n")
}

// writePut writes the statement that puts a field of m into an array at a place.
func (d *description) writePut(b *strings.Builder, array string, at int, f *field) {
	name := "m." + camel(f.Name)
	put := func(bits string, at int, value string) {
		size := sizes["u"+bits]
		fmt.Fprintf(b, "\tbinary.BigEndian.PutUint%s(%s[%d:%d], %s)\n", bits, array, at, at+size, value)
	}
	basic := d.basic(f)
	switch {
	case f.Type == "bool":
		fmt.Fprintf(b, "\t%s[%d] = flag(%s)\n", array, at, name)
	case basic == "target":
		fmt.Fprintf(b, "\t%s[%d] = byte(%s.Kind)\n", array, at, name)
		put("64", at+1, name+".ID")
	case d.long(f):
		put("32", at, "uint32(len("+name+"))")
	case basic == "u8":
		fmt.Fprintf(b, "\t%s[%d] = %s\n", array, at, converted("byte", f, name))
	default:
		put(basic[1:], at, converted(goType(basic), f, name))
	}
}

// converted gives the value of a field as a plain number.
func converted(number string, f *field, name string) string {
	if goType(f.Type) == number || number == "byte" && f.Type == "u8" {
		return name
	}
	return number + "(" + name + ")"
}
