// Package scenario has what gannet bench measures, a file each: pairs of users who
// chat, also beside the bare server (compare), connections that say nothing (idle),
// a server that is killed (crash), apps that are killed as well as their server (soak),
// and what the machine gives without gannet (limit).
package scenario
