//go:build !linux

package report

// FileSystem names the file system that a folder is on, where that is known.
func FileSystem(string) string { return "unknown" }
