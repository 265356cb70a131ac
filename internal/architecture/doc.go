// Package architecture tests what the source must keep to as a whole: who imports
// whom, how large a file may be, what no process does to itself, and that the
// documents name what exists.
package architecture
