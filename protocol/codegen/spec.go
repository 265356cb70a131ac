package main

import (
	"fmt"
	"strings"
)

// spec gives the part of SPEC.md about frames: the overview of what clients send,
// then a section for each frame, or for several with one payload.
func (d *description) spec() string {
	var b strings.Builder
	b.WriteString("| client | sent when | answered by |\n|---|---|---|\n")
	var pushes []string
	for _, f := range d.Frames {
		if f.Kind == "push" {
			pushes = append(pushes, f.wire())
		}
		if f.From != "client" {
			continue
		}
		answered := f.Answered
		if answered == "" {
			answered = d.frame(f.Answer).wire() + " or ERROR"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.wire(), f.When, answered)
	}
	paragraph(&b, "Answers may come in another order than their requests. "+list(pushes)+" come at any time after WELCOME.")
	told := make(map[*payload]string)
	for i := 0; i < len(d.Frames); {
		n := i + 1
		for n < len(d.Frames) && d.Frames[n].payload == d.Frames[i].payload {
			n++
		}
		d.writeSection(&b, d.Frames[i:n], told)
		i = n
	}
	return b.String()
}

// writeSection writes what there is to say of frames with one payload. told has
// the payloads whose fields a reader knows, and from where.
func (d *description) writeSection(b *strings.Builder, frames []*frame, told map[*payload]string) {
	var heads, texts []string
	for _, f := range frames {
		heads = append(heads, fmt.Sprintf("`0x%02X` %s", f.number, f.wire()))
		text := f.Text
		if text == "" {
			text = f.Meaning
			if len(frames) > 1 {
				text = f.wire() + ": " + text
			}
		}
		if f.Since > 1 {
			text = sentence(text) + fmt.Sprintf(" Since revision %d.", f.Since)
		}
		texts = append(texts, sentence(text))
	}
	fmt.Fprintf(b, "\n### %s", strings.Join(heads, ", "))
	p := frames[0].payload
	switch {
	case p == nil:
		paragraph(b, "No payload. "+strings.Join(texts, " "))
	case told[p] != "":
		paragraph(b, strings.Join(texts, " ")+" The payload is that of "+told[p]+".")
	default:
		told[p] = frames[0].wire()
		paragraph(b, strings.Join(texts, " "))
		d.writeFields(b, p)
		if i := p.items(); i >= 0 && told[p.Fields[i].item] == "" && len(p.Fields[i].item.frames) == 0 {
			told[p.Fields[i].item] = frames[0].wire()
			fmt.Fprintf(b, "\n#### item of %s", frames[0].wire())
			d.writeFields(b, p.Fields[i].item)
		}
	}
}

// paragraph begins a new line and writes a text in lines of the usual width.
func paragraph(b *strings.Builder, text string) {
	b.WriteString("\n" + strings.Join(wrap(text, 84), "\n") + "\n")
}

func (d *description) writeFields(b *strings.Builder, p *payload) {
	b.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	for _, f := range p.Fields {
		kind := d.basic(f)
		if f.Type == "bool" {
			kind = "u8"
		}
		meaning := d.meaning(f)
		if p.optional(f) {
			meaning += fmt.Sprintf("; since revision %d, may be missing", f.Since)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Name, kind, meaning)
	}
}
