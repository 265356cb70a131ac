// Package scenario has what gannet bench measures, a file each: pairs of users who
// chat, also beside the bare server (compare), connections that say nothing (idle),
// a server that is killed (crash), and what the machine gives without gannet
// (limit).
//
// The folder's packages import each other in one direction:
//
//	scenario   what is measured, and against which server
//	load       users who write to each other; every message is checked
//	yardstick  what the machine gives: echo, commits, bare server, pauses
//	process    children: the servers that are measured
//	report     reports, faults, progress
//	meter      latencies, CPU time, memory
//
// All of it is a black box's other side: it knows the protocol and the Go SDK, and
// nothing of the server but its flags.
package scenario
