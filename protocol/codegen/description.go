package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// description is frames.json.
type description struct {
	Comment  []string   `json:"comment"`
	Version  int        `json:"version"`
	Revision int        `json:"revision"`
	Enums    []*enum    `json:"enums"`
	Payloads []*payload `json:"payloads"`
	Frames   []*frame   `json:"frames"`

	limits *limitList
}

// enum is a type with named values.
type enum struct {
	Name    string  `json:"name"` // in Go
	Type    string  `json:"type"`
	Bare    bool    `json:"bare"` // the values have no prefix in Go
	Meaning string  `json:"meaning"`
	Values  []value `json:"values"`
}

type value struct {
	Number  int    `json:"number"`
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
}

// payload is what a frame carries, or an item of a page.
type payload struct {
	Name    string   `json:"name"`
	Since   int      `json:"since"`
	Shared  bool     `json:"shared"`
	Meaning string   `json:"meaning"`
	Fields  []*field `json:"fields"`

	frames []*frame   // that carry it
	pages  []*payload // whose items it is
	held   bool       // a field of another payload holds it, encoded
}

type field struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Since   int    `json:"since"` // 0: as old as the payload
	Late    bool   `json:"late"`
	Max     string `json:"max"`
	Holds   string `json:"holds"`
	Item    string `json:"item"`
	Count   string `json:"count"`
	Walk    string `json:"walk"`
	Meaning string `json:"meaning"`

	item, holds *payload
}

type frame struct {
	Name     string `json:"name"`
	Number   string `json:"number"`
	From     string `json:"from"`
	Lane     string `json:"lane"` // of a client's frame
	Kind     string `json:"kind"` // of a server's frame
	Since    int    `json:"since"`
	Payload  string `json:"payload"`
	When     string `json:"when"`
	Answer   string `json:"answer"`
	Answered string `json:"answered"`
	Meaning  string `json:"meaning"`
	Text     string `json:"text"`

	number  int
	payload *payload // nil: none
}

// wire gives the name in texts and logs: push_ack is PUSHACK.
func (f *frame) wire() string { return strings.ToUpper(strings.ReplaceAll(f.Name, "_", "")) }

// constant gives the name of the type in Go.
func (f *frame) constant() string { return "Type" + camel(f.Name) }

// asks says whether the frame carries a request: it asks or it answers.
func (f *frame) asks() bool { return f.From == "client" || f.Kind == "answer" }

// method gives the method that encodes the frame.
func (f *frame) method() string {
	if f.payload.Shared {
		return "Append" + camel(f.Name)
	}
	return "AppendFrame"
}

// optional says whether a field may be missing.
func (p *payload) optional(f *field) bool { return f.Since > p.Since }

// items gives the index of the field with the items of a page, or -1.
func (p *payload) items() int {
	return slices.IndexFunc(p.Fields, func(f *field) bool { return f.Type == "items" })
}

// header gives the fields before the items of a page, or all.
func (p *payload) header() []*field {
	if i := p.items(); i >= 0 {
		return p.Fields[:i]
	}
	return p.Fields
}

// trailer gives the fields behind the items of a page.
func (p *payload) trailer() []*field {
	if i := p.items(); i >= 0 {
		return p.Fields[i+1:]
	}
	return nil
}

// required gives those of the fields that must be there.
func (p *payload) required(fields []*field) []*field {
	i := slices.IndexFunc(fields, p.optional)
	if i < 0 {
		return fields
	}
	return fields[:i]
}

// later gives the fields that may be missing; they are the last ones.
func (p *payload) later() []*field {
	return p.Fields[len(p.required(p.Fields)):]
}

// checks says whether a field holds another payload, which has to be looked at.
func (p *payload) checks() bool {
	return slices.ContainsFunc(p.Fields, func(f *field) bool { return f.holds != nil })
}

// decode gives the name of the method that reads the payload.
func (p *payload) decode() string {
	if len(p.frames) == 0 && !p.held {
		return "decode"
	}
	return "Decode"
}

func (d *description) enum(name string) *enum {
	for _, e := range d.Enums {
		if e.Name == name {
			return e
		}
	}
	return nil
}

func (d *description) payload(name string) *payload {
	for _, p := range d.Payloads {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (d *description) frame(name string) *frame {
	for _, f := range d.Frames {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// byNumber gives the frames in the order of their numbers.
func (d *description) byNumber() []*frame {
	return slices.SortedFunc(slices.Values(d.Frames), func(a, b *frame) int { return cmp.Compare(a.number, b.number) })
}

// basic gives the type that a field has on the wire: u8, u16, u32, u64, target,
// bytes, string or items; "" for a type that does not exist.
func (d *description) basic(f *field) string {
	switch f.Type {
	case "u8", "u16", "u32", "u64", "target", "bytes", "string", "items":
		return f.Type
	case "bool":
		return "u8"
	case "Code":
		return "u16"
	}
	if e := d.enum(f.Type); e != nil {
		return e.Type
	}
	return ""
}

// sizes gives the bytes of each type; those of bytes and string are the length.
var sizes = map[string]int{"u8": 1, "u16": 2, "u32": 4, "u64": 8, "target": 9, "bytes": 4, "string": 4}

// size gives how many bytes the field takes at least.
func (d *description) size(f *field) int { return sizes[d.basic(f)] }

// long says whether bytes follow the length that the field is.
func (d *description) long(f *field) bool {
	basic := d.basic(f)
	return basic == "bytes" || basic == "string"
}

// meaning fills in what stands in braces in the meaning of a field.
func (d *description) meaning(f *field) string {
	s := strings.ReplaceAll(f.Meaning, "{version}", strconv.Itoa(d.Version))
	if e := d.enum(f.Type); e != nil {
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = strconv.Itoa(v.Number) + " " + v.Name
		}
		s = strings.ReplaceAll(s, "{values}", strings.Join(values, ", "))
	}
	if l := d.limits.find(f.Max); l != nil {
		s = strings.ReplaceAll(s, "{max}", strconv.Itoa(l.Value))
	}
	for _, l := range d.limits.Limits {
		s = strings.ReplaceAll(s, "{"+l.Name+"}", strconv.Itoa(l.Value))
	}
	return s
}
