// Package endtoend tests the whole: the gannet program as people start it, a server
// composed in this process where memory or the race detector are to see all of it,
// and a bot in another language.
package endtoend
