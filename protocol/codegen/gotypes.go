package main

import (
	"fmt"
	"strings"
)

// source gives frames_gen.go.
func (d *description) source() string {
	var b strings.Builder
	if d.hasItems() {
		b.WriteString("import (\n\"encoding/binary\"\n\"iter\"\n)\n\n")
	} else {
		b.WriteString("import \"encoding/binary\"\n\n")
	}
	fmt.Fprintf(&b, "// Version is the protocol version that HELLO and WELCOME carry.\nconst Version = %d\n\n", d.Version)
	d.writeTypes(&b)
	for _, e := range d.Enums {
		e.write(&b)
	}
	for _, p := range d.Payloads {
		d.writeStruct(&b, p)
		d.writeEncoders(&b, p)
		d.writeDecoder(&b, p)
		if p.items() >= 0 {
			d.writePage(&b, p)
		}
	}
	return b.String()
}

func (d *description) hasItems() bool {
	for _, p := range d.Payloads {
		if p.items() >= 0 {
			return true
		}
	}
	return false
}

// writeTypes writes the frame types, their names and their lanes.
func (d *description) writeTypes(b *strings.Builder) {
	b.WriteString("// The frame types.\nconst (\n")
	for _, f := range d.byNumber() {
		fmt.Fprintf(b, "\t%s Type = 0x%02X // %s: %s\n", f.constant(), f.number, f.From, f.Meaning)
	}
	b.WriteString(")\n\n// String gives the name of the type as in SPEC.md; one that is not known is called\n// by its number: 0x7F.\nfunc (t Type) String() string {\n\tswitch t {\n")
	for _, f := range d.byNumber() {
		fmt.Fprintf(b, "\tcase %s:\n\t\treturn %q\n", f.constant(), f.wire())
	}
	b.WriteString("\t}\n\treturn unknownType(t)\n}\n\n// Lane gives the class of a client's frame.\nfunc (t Type) Lane() LaneClass {\n\tswitch t {\n")
	for _, lane := range []string{"write", "read"} {
		var types []string
		for _, f := range d.byNumber() {
			if f.Lane == lane {
				types = append(types, f.constant())
			}
		}
		if len(types) > 0 {
			fmt.Fprintf(b, "\tcase %s:\n\t\treturn Lane%s\n", strings.Join(types, ", "), camel(lane))
		}
	}
	b.WriteString("\tdefault:\n\t\treturn LaneNone\n\t}\n}\n\n// Answer gives the type of the frame, other than ERROR, that answers a client's frame;\n// 0 for what is none.\nfunc (t Type) Answer() Type {\n\tswitch t {\n")
	for _, f := range d.byNumber() {
		if f.Answer != "" {
			fmt.Fprintf(b, "\tcase %s:\n\t\treturn %s\n", f.constant(), d.frame(f.Answer).constant())
		}
	}
	b.WriteString("\t}\n\treturn 0\n}\n\n// IsPush says whether servers send the frame without having been asked.\nfunc (t Type) IsPush() bool {\n\tswitch t {\n\tcase ")
	var pushes []string
	for _, f := range d.byNumber() {
		if f.Kind == "push" {
			pushes = append(pushes, f.constant())
		}
	}
	b.WriteString(strings.Join(pushes, ", ") + ":\n\t\treturn true\n\t}\n\treturn false\n}\n\n")
}

func (e *enum) write(b *strings.Builder) {
	comment(b, "", e.Name+" "+e.Meaning+".")
	prefix := e.Name
	if e.Bare {
		prefix = ""
	}
	fmt.Fprintf(b, "type %s %s\n\n// The values of %s.\nconst (\n", e.Name, goType(e.Type), e.Name)
	for _, v := range e.Values {
		fmt.Fprintf(b, "\t%s%s %s = %d // %s\n", prefix, camel(v.Name), e.Name, v.Number, v.Meaning)
	}
	b.WriteString(")\n\n")
}

// goType gives the Go type of a field's type.
func goType(t string) string {
	switch t {
	case "u8", "u16", "u32", "u64":
		return "uint" + t[1:]
	case "bytes", "string":
		return "[]byte"
	case "target":
		return "Target"
	}
	return t // bool, Code and enums
}

func (d *description) writeStruct(b *strings.Builder, p *payload) {
	comment(b, "", camel(p.Name)+" is "+p.role()+": "+p.Meaning+".")
	fmt.Fprintf(b, "type %s struct {\n", camel(p.Name))
	for _, f := range p.Fields {
		meaning := d.meaning(f)
		if p.optional(f) {
			meaning += fmt.Sprintf("; since revision %d, may be missing", f.Since)
		}
		if f.Type == "items" {
			b.WriteString("\titems []byte\n")
			continue
		}
		fmt.Fprintf(b, "\t%s %s // %s\n", camel(f.Name), goType(f.Type), meaning)
	}
	b.WriteString("}\n\n")
	d.writePlaces(b, p)
}

// writePlaces writes where the fields lie that are filled in after encoding, but
// for pages, whose Finish does that.
func (d *description) writePlaces(b *strings.Builder, p *payload) {
	at := 0
	for _, f := range p.Fields {
		if f.Late && p.items() < 0 {
			fmt.Fprintf(b, "// %s%sAt is where %s lies in an encoded %s.\nconst %s%sAt = %d\n\n",
				lowerCamel(p.Name), camel(f.Name), camel(f.Name), camel(p.Name), lowerCamel(p.Name), camel(f.Name), at)
		}
		at += d.size(f)
	}
}

// role says where a payload stands.
func (p *payload) role() string {
	var frames, pages []string
	for _, f := range p.frames {
		frames = append(frames, f.wire())
	}
	for _, page := range p.pages {
		pages = append(pages, page.frames[0].wire())
	}
	switch {
	case len(pages) == 0 && len(frames) == 0:
		return "what another payload holds"
	case len(pages) == 0:
		return "the payload of " + list(frames)
	case len(frames) == 0:
		return "an item of " + list(pages)
	}
	return "the payload of " + list(frames) + ", and an item of " + list(pages)
}
