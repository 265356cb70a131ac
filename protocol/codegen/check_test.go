package main

import (
	"strings"
	"testing"
)

// described gives the description and the limits as they are, for a test to spoil.
// described reads a description of its own, so that the real one may grow.
func described(t *testing.T) (*description, *limitList) {
	t.Helper()
	var limits limitList
	if err := parse(read(t, "testdata/limits.json"), &limits, limits.check); err != nil {
		t.Fatal(err)
	}
	var d description
	if err := parse(read(t, "testdata/frames.json"), &d, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return &d, &limits
}

func fieldOf(d *description, payload, name string) *field {
	for _, f := range d.payload(payload).Fields {
		if f.Name == name {
			return f
		}
	}
	panic("no field " + name)
}

// drop takes the fields from the one named on out of a payload.
func drop(d *description, payload string, n int) {
	p := d.payload(payload)
	p.Fields = p.Fields[:n]
}

func add(d *description, payload string, f field) {
	p := d.payload(payload)
	p.Fields = append(p.Fields, &f)
}

// TestBadFramesAreRefused spoils frames.json in every way that would make wrong
// code or a wrong text; each has a message that says where and what.
func TestBadFramesAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(*description){
		"there is no version":                        func(d *description) { d.Version = 0 },
		"or no revision":                             func(d *description) { d.Revision = 0 },
		"there are no frames":                        func(d *description) { d.Frames = nil },
		"frame read: push_ack has the number 0x11":   func(d *description) { d.frame("read").Number = "0x11" },
		"frame read: the name is taken":              func(d *description) { d.frame("history").Name = "read" },
		"frame Read: the name is not words":          func(d *description) { d.frame("read").Name = "Read" },
		`frame read: the number "18"`:                func(d *description) { d.frame("read").Number = "18" },
		`frame read: the number "0x112"`:             func(d *description) { d.frame("read").Number = "0x112" },
		`frame read: the number "0xZZ"`:              func(d *description) { d.frame("read").Number = "0xZZ" },
		"0x92 is outside the range of client":        func(d *description) { d.frame("read").Number = "0x92" },
		"0x42 is outside the range of server push":   func(d *description) { d.frame("hole").Number = "0x42" },
		"0xB3 is outside the range of server push":   func(d *description) { d.frame("hole").Number = "0xB3" },
		"0xC9 is outside the range of server answer": func(d *description) { d.frame("done").Number = "0xC9" },
		"0xFD is outside the range of server close":  func(d *description) { d.frame("close").Number = "0xFD" },
		"0xC3 is outside the range of server":        func(d *description) { d.frame("hole").Kind = "shout" },
		`frame read: it is from "nowhere"`:           func(d *description) { d.frame("read").From = "nowhere" },
		"frame read: it has no meaning":              func(d *description) { d.frame("read").Meaning = "" },
		"frame send: it has no meaning":              func(d *description) { d.frame("send").Meaning = "a | b" },
		"frame read: its text is not one line":       func(d *description) { d.frame("read").Text = "a\nb" },
		"frame read: since is 0, not 1 to 1":         func(d *description) { d.frame("read").Since = 0 },
		"frame read: since is 2, not 1 to 1":         func(d *description) { d.frame("read").Since = 2 },
		"frame send: it is older than its payload":   func(d *description) { d.Revision, d.payload("send").Since = 2, 2 },
		"frame read: there is no payload curser":     func(d *description) { d.frame("read").Payload = "curser" },
		`frame read: unknown lane "fast"`:            func(d *description) { d.frame("read").Lane = "fast" },
		"frame sync: its lane is write, but its pay": func(d *description) { d.frame("sync").Lane = "write" },
		"frame ping: its lane is write, but its pay": func(d *description) { d.frame("ping").Lane = "write" },
		"frame read: kind is for servers":            func(d *description) { d.frame("read").Kind = "push" },
		"frame read: when is not one line":           func(d *description) { d.frame("read").When = "" },
		"frame read: answered is not one line":       func(d *description) { d.frame("read").Answered = "a|b" },
		`frame read: its answer, "push"`:             func(d *description) { d.frame("read").Answer = "push" },
		"frame sync: its answer has the number 0x94": func(d *description) { d.frame("sync").Answer = "messages" },
		"frame hole: lane, when, answer and answer":  func(d *description) { d.frame("hole").Lane = "none" },

		"payload send: the name is taken":                   func(d *description) { d.payload("history").Name = "send" },
		"payload Send: the name is not words":               func(d *description) { d.payload("send").Name = "Send" },
		"payload send: it has no meaning":                   func(d *description) { d.payload("send").Meaning = "" },
		"payload send: it has no fields":                    func(d *description) { d.payload("send").Fields = nil },
		"payload send: since is 0":                          func(d *description) { d.payload("send").Since = 0 },
		"payload cursor: push_ack and read carry it":        func(d *description) { d.payload("cursor").Shared = false },
		"payload hello: no frame and no page has it":        func(d *description) { d.frame("hello").Payload = "" },
		"payload state: it is shared, but no frame":         func(d *description) { d.payload("state").Shared = true },
		"field body: the name is taken":                     func(d *description) { add(d, "send", field{Name: "body", Type: "u8", Meaning: "x"}) },
		"payload send: field body: unknown type \"blob\"":   func(d *description) { fieldOf(d, "send", "body").Type = "blob" },
		"payload send: field body: it has no meaning":       func(d *description) { fieldOf(d, "send", "body").Meaning = "" },
		"field body: there is no limit max_bodies":          func(d *description) { fieldOf(d, "send", "body").Max = "max_bodies" },
		"field body: it has a limit, but its meaning does":  func(d *description) { fieldOf(d, "send", "body").Meaning = "any" },
		"field device: nothing is known for {device_limit}": func(d *description) { fieldOf(d, "hello", "device").Meaning = "below {device_limit}" },
		"field device: nothing is known for {values}":       func(d *description) { fieldOf(d, "hello", "device").Meaning = "{values}" },
		"field body: since is 2, not 1 to 1":                func(d *description) { fieldOf(d, "send", "body").Since = 2 },
		"field client_id: only bytes hold a payload":        func(d *description) { fieldOf(d, "send", "client_id").Holds = "message" },
		"field last: there is no payload massage":           func(d *description) { fieldOf(d, "state", "last").Holds = "massage" },
		"field body: it holds state, which holds more":      func(d *description) { fieldOf(d, "send", "body").Holds = "state" },
		"field body: it holds synced, which holds more":     func(d *description) { fieldOf(d, "send", "body").Holds = "synced" },
		"field body: item, count and walk are for items":    func(d *description) { fieldOf(d, "send", "body").Item = "state" },
		"field messages: there is no payload massage":       func(d *description) { fieldOf(d, "messages", "messages").Item = "massage" },
		"field messages: its items, synced, have":           func(d *description) { fieldOf(d, "messages", "messages").Item = "synced" },
		"field messages: count, \"head\", is no late":       func(d *description) { fieldOf(d, "messages", "messages").Count = "head" },
		"field messages: count, \"count\", is no late":      func(d *description) { fieldOf(d, "messages", "count").Late = false },
		"field messages: walk, \"\", is no name":            func(d *description) { fieldOf(d, "messages", "messages").Walk = "" },
		"field messages: items cannot be younger":           func(d *description) { d.Revision, fieldOf(d, "messages", "messages").Since = 2, 2 },
		"payload messages: field messages: a shared":        func(d *description) { d.payload("messages").Shared = true },
		"field body: it is late, but not at a fixed place":  func(d *description) { fieldOf(d, "send", "body").Late = true },
		"field heartbeat: it is late, but not at a fixed":   func(d *description) { fieldOf(d, "hello", "heartbeat").Late = true },
		"field seq: it is late, but may be missing": func(d *description) {
			d.Revision, fieldOf(d, "cursor", "seq").Since, fieldOf(d, "cursor", "seq").Late = 2, 2, true
		},
		"payload messages: it has items twice":            func(d *description) { f := *fieldOf(d, "messages", "messages"); f.Name = "more"; add(d, "messages", f) },
		"field content: since is 1, not 2 to 2":           func(d *description) { d.Revision, fieldOf(d, "send", "client_id").Since = 2, 2 },
		"payload messages: it has no fields":              func(d *description) { drop(d, "messages", 0) },
		"enum platform: the name is not one of a Go type": func(d *description) { d.enum("Platform").Name = "platform" },
		"enum Kind: the name is taken":                    func(d *description) { d.enum("Platform").Name = "Kind" },
		"enum Code: the name is taken":                    func(d *description) { d.enum("Platform").Name = "Code" },
		"payload hello: the name is taken":                func(d *description) { d.enum("Platform").Name = "Hello" },
		`enum Platform: "u64" is no type for an enum`:     func(d *description) { d.enum("Platform").Type = "u64" },
		"enum Platform: it has no meaning":                func(d *description) { d.enum("Platform").Meaning = "" },
		"enum Platform: it has no values":                 func(d *description) { d.enum("Platform").Values = nil },
		"enum Platform: value mobile: 0 follows 0":        func(d *description) { d.enum("Platform").Values[1].Number = 0 },
		"enum Platform: value bot: 256 is no u8":          func(d *description) { d.enum("Platform").Values[4].Number = 256 },
		"enum Platform: value bot: it has no meaning":     func(d *description) { d.enum("Platform").Values[4].Meaning = "" },
		"enum Platform: value other: the name is taken":   func(d *description) { d.enum("Platform").Values[1].Name = "other" },
		"field platform: unknown type \"Platform\"":       func(d *description) { d.Enums = d.Enums[:1] },
	} {
		d, limits := described(t)
		spoil(d)
		if err := d.check(limits); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	d, limits := described(t)
	if err := d.check(limits); err != nil {
		t.Errorf("what is right is refused: %v", err)
	}
	if err := parse([]byte(`{"frames": [{"nr": 1}]}`), d, func() error { return nil }); err == nil || !strings.Contains(err.Error(), `unknown field "nr"`) {
		t.Errorf("an unknown member: error is %v", err)
	}
}
