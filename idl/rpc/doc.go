// Package rpc is how the roles of a cluster call each other: a client and a server of
// each port that travels, over Kitex. The calls are in ../gannet.thrift.
//
//	gateway → logic     Logics      ServeLogic      login, logout, frames, queries, pages again
//	transfer → gateway  Gateways    ServeGateway    pushes
//	logic → gateway     Gateways    ServeGateway    connections to be closed
//	logic → transfer    Receipts    ServeTransfer   receipts, past the queue
//
// What travels is the flat lists and the blob of package hop. Lists are looked at as
// those of generated code without a copy (lists.go); a blob is copied once on each side,
// into and out of a buffer of its connection. One Forward carries a batch of one queue:
// lanes have one batch under way each, and a call for several would answer all of them
// with the slowest.
//
// Who is called is the caller's business (nodes.go): an address is dialled as it is, with
// no resolver, balancer or circuit breaker of Kitex. There is a client for each address
// (peers.go), with as many connections as calls are under way. When a call fails, the
// unused ones are closed, for they led to the same life of the node.
//
// A try ends with the deadline of its connection, and all tries together after
// callTimeout (calls.go). Only what is safe to repeat is repeated, within a budget
// (budget.go). A push is tried once; transfer repeats it.
//
// Whatever a peer sends, a process goes on: bytes are bounded before memory is taken for
// them (codec.go), lists are checked before they are used, numbers have to fit, a code
// that is not known becomes one that says to try again, and a panic ends its call. All
// of it is counted, and seldom logged.
//
// # Transport
//
// Kitex runs on package net here, not on netpoll. The settings of netpoll are global, and
// those of the gateway's listener (small buffers, few pollers) hold for every role, since
// all of them are one program. Measured with both ends in one process on 2 busy cores, in
// CPU a frame of 128 bytes, batches of 1 / 32 / 128: package net 37 / 2.3 / 1.1 µs, netpoll
// as the gateway sets it 47 / 2.9 / 1.4, netpoll as it comes 54 / 2.4 / 1.2, multiplexed
// over one connection 56 / 3.4 / 1.6. Package net is also the only one with which a call
// can be bounded by its connection alone: where Kitex gives a call up itself, a goroutine
// goes on reading the arguments, whose memory is used again by then.
package rpc
