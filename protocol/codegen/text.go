package main

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// A name becomes a Go identifier, and a meaning a comment and a table cell.
var (
	goodName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*$`)
	goodText = regexp.MustCompile(`^[^|\n\r]+$`)
)

// camel gives the Go name: bad_client_id is BadClientID.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		if part == "id" {
			b.WriteString("ID")
			continue
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// lowerCamel gives the Go name of what is not exported.
func lowerCamel(name string) string {
	s := camel(name)
	return strings.ToLower(s[:1]) + s[1:]
}

// list joins words: a, b and c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s = strings.ToUpper(s[:1]) + s[1:]; strings.HasSuffix(s, "?") {
		return s
	}
	return strings.TrimSuffix(s, ".") + "."
}

// wrap breaks a text into lines of at most width characters, where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// comment writes a comment in lines of a usual width.
func comment(b *strings.Builder, indent, text string) {
	for _, line := range wrap(text, 78) {
		b.WriteString(indent + "// " + line + "\n")
	}
}
