package rpc

import (
	"context"
	"fmt"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/internal/hop"
	"gannet/protocol"
)

// Login implements gateway.Logic. A repeated call draws new numbers. Numbers that a node gives
// too late are never used.
func (l *Logics) Login(ctx context.Context, logins []hop.Login) (welcomes []hop.Welcome, err error) {
	request := loginRequest(logins)
	err = l.calls.call(ctx, l.anyone(), func(ctx context.Context, c logic.Client) error {
		reply, err := c.Login(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		}
		welcomes, err = readWelcomes(reply, len(logins))
		return err
	})
	if err != nil {
		return nil, err
	}
	return welcomes, nil
}

func loginRequest(logins []hop.Login) *gannet.LoginRequest {
	n := len(logins)
	r := &gannet.LoginRequest{
		Gateways: make([]int64, n), Conns: make([]int64, n), Requests: make([]int32, n), Versions: make([]int32, n),
		Tokens: make([][]byte, n), Devices: make([]int64, n), Platforms: make([]int32, n), Heartbeats: make([]int32, n),
		Capabilities: make([]int64, n), Clients: make([][]byte, n),
	}
	for i := range logins {
		login, hello := &logins[i], &logins[i].Hello
		r.Gateways[i], r.Conns[i], r.Requests[i] = int64(login.Gateway), int64(login.Conn), int32(login.Request)
		r.Versions[i], r.Tokens[i], r.Devices[i], r.Platforms[i] = int32(hello.Version), hello.Token, int64(hello.Device), int32(hello.Platform)
		r.Heartbeats[i], r.Capabilities[i], r.Clients[i] = int32(hello.Heartbeat), int64(hello.Capabilities), hello.Name
	}
	return r
}

// readLogins is the inverse of loginRequest.
func readLogins(r *gannet.LoginRequest) ([]hop.Login, error) {
	if r == nil {
		return nil, noContent
	}
	n := len(r.Conns)
	for _, length := range [...]int{
		len(r.Gateways), len(r.Requests), len(r.Versions), len(r.Tokens), len(r.Devices), len(r.Platforms), len(r.Heartbeats), len(r.Capabilities), len(r.Clients),
	} {
		if length != n {
			return nil, misshapen
		}
	}
	logins := make([]hop.Login, n)
	for i := range logins {
		switch {
		case !is16(r.Versions[i]) || !is16(r.Heartbeats[i]) || !is8(r.Platforms[i]) || r.Capabilities[i] != int64(uint32(r.Capabilities[i])):
			return nil, outOfRange
		case len(r.Tokens[i])+len(r.Clients[i]) > protocol.MaxHello:
			return nil, refusal("it is longer than a HELLO")
		}
		logins[i] = hop.Login{
			Address: hop.Address{Gateway: uint64(r.Gateways[i]), Conn: uint64(r.Conns[i])},
			Request: uint32(r.Requests[i]),
			Hello: protocol.Hello{
				Version: uint16(r.Versions[i]), Token: r.Tokens[i], Device: uint64(r.Devices[i]), Platform: protocol.Platform(r.Platforms[i]),
				Capabilities: uint32(r.Capabilities[i]), Heartbeat: uint16(r.Heartbeats[i]), Name: r.Clients[i],
			},
		}
	}
	return logins, nil
}

func loginReply(welcomes []hop.Welcome) *gannet.LoginReply {
	n := len(welcomes)
	r := &gannet.LoginReply{
		Codes: make([]int32, n), Users: make([]int64, n), Numbers: make([]int64, n), Heartbeats: make([]int32, n),
		Expires: make([]int64, n), Frames: make([][]byte, n),
	}
	for i, w := range welcomes {
		r.Codes[i], r.Users[i], r.Numbers[i] = int32(w.Code), int64(w.User), int64(w.Number)
		r.Heartbeats[i], r.Expires[i], r.Frames[i] = int32(w.Heartbeat), w.Expires, w.Frame
	}
	return r
}

// readWelcomes is the inverse of loginReply, for as many logins.
func readWelcomes(r *gannet.LoginReply, logins int) ([]hop.Welcome, error) {
	for _, n := range [...]int{len(r.Codes), len(r.Users), len(r.Numbers), len(r.Heartbeats), len(r.Expires), len(r.Frames)} {
		if n != logins {
			return nil, fmt.Errorf("%w: %d answers to %d logins", errAnswer, n, logins)
		}
	}
	welcomes := make([]hop.Welcome, logins)
	for i := range welcomes {
		if !is16(r.Codes[i]) || !is16(r.Heartbeats[i]) {
			return nil, fmt.Errorf("%w: numbers out of range", errAnswer)
		}
		welcomes[i] = hop.Welcome{
			Code: known(protocol.Code(r.Codes[i])), User: uint64(r.Users[i]), Number: uint64(r.Numbers[i]),
			Heartbeat: uint16(r.Heartbeats[i]), Expires: r.Expires[i], Frame: r.Frames[i],
		}
	}
	return welcomes, nil
}

// known checks the code of a CLOSE. This process can only guess what a client should do after a
// code that it does not know. So it replaces such a code by one that lets the client try again.
func known(code protocol.Code) protocol.Code {
	if code != 0 && code.Meaning() == "" {
		return protocol.CodeLoginUnavailable
	}
	return code
}

// Enter implements gateway.Logic. It may be carried out twice or late. That changes nothing,
// because the numbers stay the same.
func (l *Logics) Enter(ctx context.Context, connections []hop.Binding) (codes []protocol.Code, err error) {
	request := bindings(connections)
	err = l.calls.call(ctx, l.anyone(), func(ctx context.Context, c logic.Client) error {
		reply, err := c.Enter(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		case len(reply.Codes) != len(connections):
			return fmt.Errorf("%w: %d answers to %d connections", errAnswer, len(reply.Codes), len(connections))
		}
		list := make([]protocol.Code, len(connections))
		for i, code := range reply.Codes {
			if !is16(code) {
				return fmt.Errorf("%w: numbers out of range", errAnswer)
			}
			list[i] = known(protocol.Code(code))
		}
		codes = list
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// Logout implements gateway.Logic.
func (l *Logics) Logout(ctx context.Context, over []hop.Binding) error {
	request := bindings(over)
	return l.calls.call(ctx, l.anyone(), func(ctx context.Context, c logic.Client) error {
		reply, err := c.Logout(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		}
		return meaning(reply.Status)
	})
}

// bindings makes a list of connections, and readBindings is its inverse.
func bindings(list []hop.Binding) *gannet.Bindings {
	n := len(list)
	request := &gannet.Bindings{
		Gateways: make([]int64, n), Conns: make([]int64, n), Users: make([]int64, n), Devices: make([]int64, n),
		Platforms: make([]int32, n), Numbers: make([]int64, n),
	}
	for i, b := range list {
		request.Gateways[i], request.Conns[i], request.Users[i], request.Devices[i] = int64(b.Gateway), int64(b.Conn), int64(b.User), int64(b.Device)
		request.Platforms[i], request.Numbers[i] = int32(b.Platform), int64(b.Number)
	}
	return request
}

func readBindings(r *gannet.Bindings) ([]hop.Binding, error) {
	if r == nil {
		return nil, noContent
	}
	n := len(r.Conns)
	if len(r.Gateways) != n || len(r.Users) != n || len(r.Devices) != n || len(r.Platforms) != n || len(r.Numbers) != n {
		return nil, misshapen
	}
	list := make([]hop.Binding, n)
	for i := range list {
		if !is8(r.Platforms[i]) {
			return nil, outOfRange
		}
		list[i] = hop.Binding{
			Identity: identity(r.Gateways[i], r.Conns[i], r.Users[i], r.Devices[i]),
			Platform: protocol.Platform(r.Platforms[i]), Number: uint64(r.Numbers[i]),
		}
	}
	return list, nil
}

// Login implements gannet.Logic.
func (s *logicServer) Login(_ context.Context, r *gannet.LoginRequest) (*gannet.LoginReply, error) {
	return answer(s.Server, "Login", func(status int32) *gannet.LoginReply { return &gannet.LoginReply{Status: status} },
		func(ctx context.Context) (*gannet.LoginReply, error) {
			logins, err := readLogins(r)
			if err != nil {
				return nil, err
			}
			welcomes, err := s.logic.Login(ctx, logins)
			if err != nil {
				return nil, err
			}
			return loginReply(welcomes), nil
		})
}

func is8(v int32) bool  { return v == int32(uint8(v)) }
func is16(v int32) bool { return v == int32(uint16(v)) }

// Enter implements gannet.Logic.
func (s *logicServer) Enter(_ context.Context, r *gannet.Bindings) (*gannet.EnterReply, error) {
	return answer(s.Server, "Enter", func(status int32) *gannet.EnterReply { return &gannet.EnterReply{Status: status} },
		func(ctx context.Context) (*gannet.EnterReply, error) {
			connections, err := readBindings(r)
			if err != nil {
				return nil, err
			}
			codes, err := s.logic.Enter(ctx, connections)
			if err != nil {
				return nil, err
			}
			reply := &gannet.EnterReply{Codes: make([]int32, len(codes))}
			for i, code := range codes {
				reply.Codes[i] = int32(code)
			}
			return reply, nil
		})
}

// Logout implements gannet.Logic.
func (s *logicServer) Logout(_ context.Context, r *gannet.Bindings) (*gannet.LogoutReply, error) {
	return answer(s.Server, "Logout", func(status int32) *gannet.LogoutReply { return &gannet.LogoutReply{Status: status} },
		func(ctx context.Context) (*gannet.LogoutReply, error) {
			over, err := readBindings(r)
			if err != nil {
				return nil, err
			}
			return &gannet.LogoutReply{}, s.logic.Logout(ctx, over)
		})
}
