package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

func (d *description) checkPayload(p *payload) error {
	switch {
	case !goodText.MatchString(p.Meaning):
		return errors.New("it has no meaning of one line without |")
	case len(p.Fields) == 0:
		return errors.New("it has no fields")
	}
	if err := d.inRevision(p.Since, 1); err != nil {
		return err
	}
	names, since, pages := make(map[string]bool), p.Since, 0
	for _, f := range p.Fields {
		if f.Since == 0 {
			f.Since = p.Since
		}
		err := takeName(names, f.Name)
		if err == nil {
			err = d.inRevision(f.Since, since)
		}
		if err == nil {
			err = d.checkField(p, f)
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		since = f.Since
		if f.Type == "items" {
			pages++
		}
	}
	if pages > 1 {
		return errors.New("it has items twice")
	}
	return d.checkLate(p)
}

var braces = regexp.MustCompile(`\{[^}]*\}`)

func (d *description) checkField(p *payload, f *field) error {
	basic := d.basic(f)
	switch {
	case basic == "":
		return fmt.Errorf("unknown type %q", f.Type)
	case !goodText.MatchString(f.Meaning):
		return errors.New("it has no meaning of one line without |")
	case f.Max != "" && d.limits.find(f.Max) == nil:
		return fmt.Errorf("there is no limit %s", f.Max)
	case f.Max != "" && !slices.Contains(braces.FindAllString(f.Meaning, -1), "{max}"):
		return errors.New("it has a limit, but its meaning does not say {max}")
	case f.Holds != "" && !d.long(f):
		return fmt.Errorf("only bytes hold a payload, not %s", f.Type)
	case f.Type != "items" && (f.Item != "" || f.Count != "" || f.Walk != ""):
		return errors.New("item, count and walk are for items")
	}
	if left := braces.FindString(d.meaning(f)); left != "" {
		return fmt.Errorf("nothing is known for %s", left)
	}
	if f.Holds != "" {
		if f.holds = d.payload(f.Holds); f.holds == nil {
			return fmt.Errorf("there is no payload %s", f.Holds)
		}
		if f.holds.items() >= 0 || slices.ContainsFunc(f.holds.Fields, func(x *field) bool { return x.Holds != "" }) {
			return fmt.Errorf("it holds %s, which holds more itself", f.Holds)
		}
		f.holds.held = true
	}
	if f.Type == "items" {
		return d.checkItems(p, f)
	}
	return nil
}

func (d *description) checkItems(p *payload, f *field) error {
	if f.item = d.payload(f.Item); f.item == nil {
		return fmt.Errorf("there is no payload %s", f.Item)
	}
	count := slices.IndexFunc(p.header(), func(x *field) bool { return x.Name == f.Count })
	switch {
	case f.item.items() >= 0:
		return fmt.Errorf("its items, %s, have items themselves", f.Item)
	case count < 0 || p.Fields[count].Type != "u16" || !p.Fields[count].Late:
		return fmt.Errorf("count, %q, is no late u16 before it", f.Count)
	case !goodName.MatchString(f.Walk):
		return fmt.Errorf("walk, %q, is no name", f.Walk)
	case p.optional(f):
		return errors.New("items cannot be younger than their page")
	case p.Shared:
		return errors.New("a shared payload cannot have items")
	}
	f.item.pages = append(f.item.pages, p)
	return nil
}

// checkLate sees to it that what is filled in later has a place that is known.
func (d *description) checkLate(p *payload) error {
	fixed := true
	for _, f := range p.Fields {
		switch {
		case f.Late && (!fixed || d.long(f)):
			return fmt.Errorf("field %s: it is late, but not at a fixed place", f.Name)
		case f.Late && p.optional(f):
			return fmt.Errorf("field %s: it is late, but may be missing", f.Name)
		}
		if d.long(f) || f.Type == "items" {
			fixed = false
		}
	}
	return nil
}
