// Package benchmark is the folder of what gannet bench measures. There is no code in
// it but in its rooms, which import each other from top to bottom:
//
//	scenario   what is measured, a file each, and against which server
//	attack     clients who want to harm a server
//	load       users who write to each other; every message is checked
//	cluster    a cluster whose every process can be killed, stopped and cut off
//	yardstick  what the machine gives: echo, commits, bare server, pauses
//	process    children: the servers that are measured
//	report     reports, faults, progress
//	meter      latencies, CPU time, memory
//
// It is a black box's other side: it knows the protocol and the Go SDK, and nothing
// of the server but its flags.
package benchmark
