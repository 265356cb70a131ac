// Package idl has what the roles of a cluster say to each other: gannet.thrift, the code
// that is generated from it (kitex_gen), and the clients and servers of it (rpc).
package idl

//go:generate go tool kitex -module gannet -gen-path kitex_gen gannet.thrift
