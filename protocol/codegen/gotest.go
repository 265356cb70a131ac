package main

import (
	"fmt"
	"strings"
)

// testSource gives frames_gen_test.go: what the tests have to know of every frame.
func (d *description) testSource() string {
	var b strings.Builder
	if d.hasItems() {
		b.WriteString("import \"slices\"\n\n")
	}
	b.WriteString("// described is every frame of frames.json.\nvar described = []describedFrame{\n")
	for _, f := range d.byNumber() {
		lane := "LaneNone"
		if f.Lane != "" {
			lane = "Lane" + camel(f.Lane)
		}
		grown := f.payload != nil && d.grown(f.payload)
		fmt.Fprintf(&b, "\t{%s, %q, %q, %s, %t},\n", f.constant(), f.wire(), f.From, lane, grown)
	}
	b.WriteString("}\n\n// newPayload gives a value that decodes the type's payload, nil for a type that\n// is not described.\nfunc newPayload(t Type) payload {\n\tswitch t {\n")
	for _, f := range d.byNumber() {
		kind := "empty"
		if f.payload != nil {
			kind = camel(f.payload.Name)
		}
		fmt.Fprintf(&b, "\tcase %s:\n\t\treturn new(%s)\n", f.constant(), kind)
	}
	b.WriteString("\t}\n\treturn nil\n}\n\n")
	for _, p := range d.Payloads {
		if p.items() >= 0 {
			writeOpen(&b, p)
		}
	}
	d.writeFieldsOf(&b)
	d.writeEncode(&b)
	return b.String()
}

// grown says whether a field of the payload, or of its items, may be missing.
func (d *description) grown(p *payload) bool {
	i := p.items()
	return len(p.later()) > 0 || i >= 0 && len(p.Fields[i].item.later()) > 0
}

// writeOpen writes the struct of a page with its items in the open.
func writeOpen(b *strings.Builder, p *payload) {
	fmt.Fprintf(b, "// %sFields is a %s with its items in the open.\ntype %sFields struct {\n", lowerCamel(p.Name), camel(p.Name), lowerCamel(p.Name))
	for _, f := range p.Fields {
		kind := goType(f.Type)
		if f.Type == "items" {
			kind = "[]" + camel(f.item.Name)
		}
		fmt.Fprintf(b, "\t%s %s\n", camel(f.Name), kind)
	}
	b.WriteString("}\n\n")
}

func (d *description) writeFieldsOf(b *strings.Builder) {
	b.WriteString("// fieldsOf gives a decoded payload in a form that reflect.DeepEqual compares and\n// encode takes.\nfunc fieldsOf(p payload) any {\n\tswitch p := p.(type) {\n")
	for _, p := range d.Payloads {
		if p.items() < 0 {
			continue
		}
		values := make([]string, len(p.Fields))
		for i, f := range p.Fields {
			values[i] = "p." + camel(f.Name)
			if f.Type == "items" {
				values[i] = "slices.Collect(p." + camel(f.Walk) + "())"
			}
		}
		fmt.Fprintf(b, "\tcase *%s:\n\t\treturn &%sFields{%s}\n", camel(p.Name), lowerCamel(p.Name), strings.Join(values, ", "))
	}
	b.WriteString("\t}\n\treturn p\n}\n\n// walk counts the items of a page.\nfunc walk(p payload) (n int) {\n\tswitch p := p.(type) {\n")
	for _, p := range d.Payloads {
		if i := p.items(); i >= 0 {
			fmt.Fprintf(b, "\tcase *%s:\n\t\tfor range p.%s() {\n\t\t\tn++\n\t\t}\n", camel(p.Name), camel(p.Fields[i].Walk))
		}
	}
	b.WriteString("\t}\n\treturn n\n}\n\n")
}

func (d *description) writeEncode(b *strings.Builder) {
	b.WriteString("// encode appends the frame with these fields. A page is begun as a server begins\n// it, with nothing that it learns later.\nfunc encode(dst []byte, t Type, request uint32, fields any) []byte {\n\tswitch m := fields.(type) {\n\tcase *empty:\n\t\treturn AppendEmpty(dst, t, request)\n")
	for _, p := range d.Payloads {
		switch {
		case len(p.frames) == 0:
		case p.items() >= 0:
			writePageEncode(b, p)
		case p.Shared:
			fmt.Fprintf(b, "\tcase *%s:\n\t\tswitch t {\n", camel(p.Name))
			for _, f := range p.frames {
				fmt.Fprintf(b, "\t\tcase %s:\n\t\t\treturn m.%s(%s)\n", f.constant(), f.method(), f.arguments())
			}
			b.WriteString("\t\t}\n")
		default:
			fmt.Fprintf(b, "\tcase *%s:\n\t\treturn m.%s(%s)\n", camel(p.Name), p.frames[0].method(), p.frames[0].arguments())
		}
	}
	b.WriteString("\t}\n\tpanic(\"no such fields\")\n}\n")
}

// arguments gives what the method that encodes the frame is called with.
func (f *frame) arguments() string {
	if f.asks() {
		return "dst, request"
	}
	return "dst"
}

func writePageEncode(b *strings.Builder, p *payload) {
	i := p.items()
	var early, late []string
	for _, f := range p.header() {
		if value := camel(f.Name) + ": m." + camel(f.Name); f.Late {
			late = append(late, value)
		} else {
			early = append(early, value)
		}
	}
	for _, f := range p.trailer() {
		late = append(late, camel(f.Name)+": m."+camel(f.Name))
	}
	items, item := camel(p.Fields[i].Name), p.Fields[i].item
	fmt.Fprintf(b, "\tcase *%sFields:\n\t\tstart := len(dst)\n\t\tdst = %s{%s}.AppendFrame(%s)\n\t\tfor i := range m.%s {\n",
		lowerCamel(p.Name), camel(p.Name), strings.Join(early, ", "), p.frames[0].arguments(), items)
	if len(item.frames) > 0 {
		fmt.Fprintf(b, "\t\t\tat := len(dst)\n\t\t\tdst = Append%s(dst, nil)\n\t\t\tdst = end(m.%s[i].AppendPayload(dst), at)\n", camel(item.Name), items)
	} else {
		fmt.Fprintf(b, "\t\t\tdst = m.%s[i].Append(dst)\n", items)
	}
	fmt.Fprintf(b, "\t\t}\n\t\treturn %s{%s}.Finish(dst, start)\n", camel(p.Name), strings.Join(late, ", "))
}
