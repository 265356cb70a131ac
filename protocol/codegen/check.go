package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// check looks for everything that would make wrong code or a wrong text, and
// connects what is named with what it names.
func (d *description) check(limits *limitList) error {
	d.limits = limits
	switch {
	case d.Version < 1 || d.Revision < 1:
		return errors.New("there is no version or no revision")
	case len(d.Frames) == 0:
		return errors.New("there are no frames")
	}
	names := make(map[string]bool) // in Go
	for _, e := range d.Enums {
		if err := e.check(names); err != nil {
			return fmt.Errorf("enum %s: %w", e.Name, err)
		}
	}
	for _, p := range d.Payloads {
		if err := takeName(names, p.Name); err != nil {
			return fmt.Errorf("payload %s: %w", p.Name, err)
		}
	}
	for _, p := range d.Payloads {
		if err := d.checkPayload(p); err != nil {
			return fmt.Errorf("payload %s: %w", p.Name, err)
		}
	}
	numbers := make(map[int]*frame)
	names = make(map[string]bool)
	for _, f := range d.Frames {
		err := takeName(names, f.Name)
		if err == nil {
			err = d.checkFrame(f, numbers)
		}
		if err != nil {
			return fmt.Errorf("frame %s: %w", f.Name, err)
		}
	}
	for _, p := range d.Payloads {
		switch {
		case len(p.frames) > 1 && !p.Shared:
			return fmt.Errorf("payload %s: %s and %s carry it, so it has to be shared", p.Name, p.frames[0].Name, p.frames[1].Name)
		case len(p.frames) == 0 && len(p.pages) == 0 && !p.held:
			return fmt.Errorf("payload %s: no frame and no page has it", p.Name)
		case len(p.frames) == 0 && p.Shared:
			return fmt.Errorf("payload %s: it is shared, but no frame carries it", p.Name)
		}
	}
	return nil
}

func takeName(names map[string]bool, name string) error {
	switch {
	case !goodName.MatchString(name):
		return errors.New("the name is not words in lower case joined by _")
	case names[camel(name)]:
		return errors.New("the name is taken")
	}
	names[camel(name)] = true
	return nil
}

var goodType = regexp.MustCompile(`^[A-Z][A-Za-z]*$`)

func (e *enum) check(names map[string]bool) error {
	switch {
	case !goodType.MatchString(e.Name):
		return errors.New("the name is not one of a Go type")
	case names[e.Name] || e.Name == "Code":
		return errors.New("the name is taken")
	case e.Type != "u8" && e.Type != "u16":
		return fmt.Errorf("%q is no type for an enum", e.Type)
	case !goodText.MatchString(e.Meaning):
		return errors.New("it has no meaning of one line without |")
	case len(e.Values) == 0:
		return errors.New("it has no values")
	}
	names[e.Name] = true
	own, last := make(map[string]bool), -1
	for _, v := range e.Values {
		if err := takeName(own, v.Name); err != nil {
			return fmt.Errorf("value %s: %w", v.Name, err)
		}
		switch {
		case v.Number <= last:
			return fmt.Errorf("value %s: %d follows %d", v.Name, v.Number, last)
		case v.Number >= 1<<(8*sizes[e.Type]):
			return fmt.Errorf("value %s: %d is no %s", v.Name, v.Number, e.Type)
		case !goodText.MatchString(v.Meaning):
			return fmt.Errorf("value %s: it has no meaning of one line without |", v.Name)
		}
		last = v.Number
	}
	return nil
}

// inRevision checks the since of something that belongs to what has the since of
// its owner.
func (d *description) inRevision(since, owner int) error {
	if since < owner || since > d.Revision {
		return fmt.Errorf("since is %d, not %d to %d", since, owner, d.Revision)
	}
	return nil
}

func (d *description) checkFrame(f *frame, numbers map[int]*frame) error {
	n, err := strconv.ParseUint(f.Number, 0, 8)
	if err != nil || len(f.Number) != 4 || !strings.HasPrefix(f.Number, "0x") {
		return fmt.Errorf("the number %q is not like 0x1F", f.Number)
	}
	f.number = int(n)
	if other := numbers[f.number]; other != nil {
		return fmt.Errorf("%s has the number %s", other.Name, f.Number)
	}
	numbers[f.number] = f
	switch {
	case f.From != "client" && f.From != "server":
		return fmt.Errorf("it is from %q, not client or server", f.From)
	case f.From == "client" && f.Kind != "":
		return errors.New("kind is for servers' frames")
	case !inRange(f):
		return fmt.Errorf("%s is outside the range of %s", f.Number, strings.TrimSpace(f.From+" "+f.Kind))
	case !goodText.MatchString(f.Meaning):
		return errors.New("it has no meaning of one line without |")
	case f.Text != "" && !goodText.MatchString(f.Text):
		return errors.New("its text is not one line without |")
	}
	if err := d.inRevision(f.Since, 1); err != nil {
		return err
	}
	if f.Payload != "" {
		if f.payload = d.payload(f.Payload); f.payload == nil {
			return fmt.Errorf("there is no payload %s", f.Payload)
		}
		if err := d.inRevision(f.Since, f.payload.Since); err != nil {
			return fmt.Errorf("it is older than its payload: %w", err)
		}
		f.payload.frames = append(f.payload.frames, f)
	}
	if f.From == "server" {
		if f.Lane != "" || f.When != "" || f.Answer != "" || f.Answered != "" {
			return errors.New("lane, when, answer and answered are for clients' frames")
		}
		return nil
	}
	return d.checkAsked(f)
}

// checkAsked checks what only a client's frame has.
func (d *description) checkAsked(f *frame) error {
	switch {
	case f.Lane != "none" && f.Lane != "write" && f.Lane != "read":
		return fmt.Errorf("unknown lane %q", f.Lane)
	case f.Lane == "write" && (f.payload == nil || f.payload.Fields[0].Type != "target"):
		return errors.New("its lane is write, but its payload does not begin with the target")
	case !goodText.MatchString(f.When):
		return errors.New("when is not one line without |")
	case f.Answered != "" && !goodText.MatchString(f.Answered):
		return errors.New("answered is not one line without |")
	}
	answer := d.frame(f.Answer)
	if answer == nil || answer.Kind != "answer" {
		return fmt.Errorf("its answer, %q, is no frame that answers", f.Answer)
	}
	if n, _ := strconv.ParseUint(answer.Number, 0, 8); int(n) != f.number|0x80 && n != 0x80 {
		return fmt.Errorf("its answer has the number %s, not %#x or 0x80", answer.Number, f.number|0x80)
	}
	return nil
}

// inRange says whether the number is one for the frame's direction and kind.
func inRange(f *frame) bool {
	switch f.From + f.Kind {
	case "client":
		return f.number < 0x80
	case "serveranswer":
		return f.number >= 0x80 && f.number < 0xC0 || f.number == 0xFE
	case "serverpush":
		return f.number >= 0xC0 && f.number < 0xFE
	case "serverclose":
		return f.number == 0xFF
	}
	return false
}
