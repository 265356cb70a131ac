package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gannet/protocol"
)

// The PROXY protocol, with which a load balancer tells the address of the client:
// proxy-protocol.txt of HAProxy, section 2.2 for version 2 and section 2.1 for version 1. Version
// 1 is all that the stream module of nginx before 1.31.4 can send.
//
// A header is accepted only from the addresses in the configuration. From others it could claim
// any address.

const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

	proxyV2Fixed = 16   // signature, version and command, family, length
	maxProxyV1   = 107  // as the specification has it, with its line end
	maxProxyV2   = 2048 // the largest addresses are 216 bytes; proxies add some hundred bytes of TLVs
)

var errProxyHeader = errors.New("not a PROXY header")

// proxyHeader reads the PROXY header at the start of b and gives its length. 0 and no error mean
// that it has not arrived whole. An invalid address means that the connection comes from the
// proxy itself, as health checks do, or from a client without an address.
func proxyHeader(b []byte) (from netip.AddrPort, n int, err error) {
	switch {
	case beginsLike(b, proxyV2):
		return proxyHeaderV2(b)
	case beginsLike(b, proxyV1):
		return proxyHeaderV1(b)
	}
	return from, 0, errProxyHeader
}

// beginsLike says whether b begins with the signature, or could be the beginning of it.
func beginsLike(b []byte, signature string) bool {
	n := min(len(b), len(signature))
	return string(b[:n]) == signature[:n]
}

// looksProxied says whether b begins with four bytes of a PROXY header, where a frame has its
// length. As a length they are far over the limit.
func looksProxied(b []byte) bool {
	return len(b) >= 4 && (string(b[:4]) == proxyV2[:4] || string(b[:4]) == proxyV1[:4])
}

func proxyHeaderV2(b []byte) (from netip.AddrPort, n int, err error) {
	if len(b) < proxyV2Fixed {
		return from, 0, nil
	}
	n = proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	addresses, known := 0, true // source and destination address, two ports
	switch b[13] {
	case 0x11: // TCP over IPv4
		addresses = 4 + 4 + 2 + 2
	case 0x21: // TCP over IPv6
		addresses = 16 + 16 + 2 + 2
	case 0x31: // a Unix socket
		addresses = 108 + 108
	case 0x00: // unspecified
	default:
		known = false
	}
	switch b[12] {
	case 0x20: // LOCAL: the addresses are ignored
		addresses, known = 0, true
	case 0x21: // PROXY
	default:
		known = false
	}
	if !known || n < proxyV2Fixed+addresses || n > maxProxyV2 {
		return from, 0, errProxyHeader
	}
	if len(b) < n {
		return from, 0, nil
	}
	p := b[proxyV2Fixed:n]
	switch addresses {
	case 12:
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p)), binary.BigEndian.Uint16(p[8:]))
	case 36:
		from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(p)).Unmap(), binary.BigEndian.Uint16(p[32:]))
	}
	return from, n, nil
}

func proxyHeaderV1(b []byte) (from netip.AddrPort, n int, err error) {
	line, _, whole := bytes.Cut(b[:min(len(b), maxProxyV1)], []byte("\r\n"))
	if !whole {
		if len(b) >= maxProxyV1 {
			return from, 0, errProxyHeader
		}
		return from, 0, nil
	}
	n = len(line) + 2
	fields := strings.Split(string(line), " ")
	if fields[1] == "UNKNOWN" {
		return from, n, nil
	}
	if len(fields) != 6 {
		return from, 0, errProxyHeader
	}
	client, cerr := netip.ParseAddr(fields[2])
	server, serr := netip.ParseAddr(fields[3])
	if cerr != nil || serr != nil || client.Zone() != "" || server.Zone() != "" {
		return from, 0, errProxyHeader
	}
	switch fields[1] {
	case "TCP4":
		if !client.Is4() || !server.Is4() {
			return from, 0, errProxyHeader
		}
	case "TCP6":
		if !client.Is6() || !server.Is6() {
			return from, 0, errProxyHeader
		}
	default:
		return from, 0, errProxyHeader
	}
	port, perr := portV1(fields[4])
	if _, err := portV1(fields[5]); perr != nil || err != nil {
		return from, 0, errProxyHeader
	}
	return netip.AddrPortFrom(client.Unmap(), port), n, nil
}

// portV1 reads a port without a sign or leading zeros.
func portV1(s string) (uint16, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != s {
		return 0, errProxyHeader
	}
	return uint16(port), nil
}

// header collects a PROXY header that arrives in pieces.
type header struct{ bytes []byte }

// heading handles the first bytes of a proxied connection. If ok, the header has arrived, and
// rest are the bytes behind it. A connection with an invalid header, or with a client that is
// refused, is closed. The header must arrive within the time for the login.
func (s *session) heading(h *header, p []byte) (rest []byte, ok bool) {
	defer s.survive("proxy")
	if s.phase.Load() == phaseClosing {
		return nil, false
	}
	h.bytes = append(h.bytes, p...)
	from, n, err := proxyHeader(h.bytes)
	switch {
	case err != nil:
		s.gateway.badProxy(s.place.from)
		s.close(protocol.CodeBadProxy)
		return nil, false
	case n == 0:
		return nil, false
	case from.IsValid():
		if r, wait := s.gateway.places.identify(s.place, from); r != admitted {
			s.turnAway(r, wait)
			return nil, false
		}
	}
	return h.bytes[n:], true
}

// turnAway closes a connection that has a session already, for one of the reasons for which
// connections are refused.
func (s *session) turnAway(r refusal, wait time.Duration) {
	s.gateway.refused(r, s.gateway.places.whose(s.place))
	s.closeAfter(r.code(), retryAfter(wait))
}

// badProxy sometimes logs that a proxy of the configuration does not send a PROXY header.
func (g *Gateway) badProxy(from netip.AddrPort) {
	if g.said.proxy.Now() {
		g.log.Warn("gateway: a connection of a configured proxy does not begin with a PROXY header", "remote", from)
	}
}

// proxies are the addresses whose connections begin with a PROXY header.
type proxies []netip.Prefix

func (list proxies) contain(a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
