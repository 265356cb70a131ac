package gateway

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

// headerV2 makes a PROXY header of version 2 with these addresses and further bytes
// behind them.
func headerV2(from, to string, further ...byte) []byte {
	f, t := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	family := byte(0x11)
	if f.Addr().Is6() {
		family = 0x21
	}
	p := append(f.Addr().AsSlice(), t.Addr().AsSlice()...)
	p = binary.BigEndian.AppendUint16(p, f.Port())
	p = binary.BigEndian.AppendUint16(p, t.Port())
	return rawHeaderV2(0x21, family, append(p, further...))
}

func rawHeaderV2(command, family byte, p []byte) []byte {
	b := append([]byte(proxyV2), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
}

const (
	client4 = "203.0.113.7:4711"
	client6 = "[2001:db8::7]:4711"
)

// What the specification calls a header, and what it does not.
func TestProxyHeaders(t *testing.T) {
	addresses4 := headerV2(client4, "10.0.0.1:80")[proxyV2Fixed:]
	for name, c := range map[string]struct {
		header []byte
		from   string // "": of the proxy itself
		broken bool
	}{
		"v2 TCP4":                    {header: headerV2(client4, "10.0.0.1:80"), from: client4},
		"v2 TCP6":                    {header: headerV2(client6, "[::1]:80"), from: client6},
		"v2 TCP6 of IPv4":            {header: headerV2("[::ffff:203.0.113.7]:4711", "[::1]:80"), from: client4},
		"v2 with TLVs":               {header: headerV2(client4, "10.0.0.1:80", make([]byte, 300)...), from: client4},
		"v2 as long as may be":       {header: headerV2(client4, "10.0.0.1:80", make([]byte, maxProxyV2-28)...), from: client4},
		"v2 LOCAL":                   {header: rawHeaderV2(0x20, 0x00, nil)},
		"v2 LOCAL with addresses":    {header: rawHeaderV2(0x20, 0x11, addresses4)},
		"v2 LOCAL of another family": {header: rawHeaderV2(0x20, 0xFF, addresses4)},
		"v2 unspecified":             {header: rawHeaderV2(0x21, 0x00, nil)},
		"v2 Unix":                    {header: rawHeaderV2(0x21, 0x31, make([]byte, 216))},
		"v1 TCP4":                    {header: []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n"), from: client4},
		"v1 TCP6":                    {header: []byte("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"), from: client6},
		"v1 unknown":                 {header: []byte("PROXY UNKNOWN\r\n")},
		"v1 unknown with more":       {header: []byte("PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n")},

		"nothing of the kind":     {header: hello(1), broken: true},
		"another signature":       {header: append([]byte("\r\n\r\n\x00\r\nQUIT\r"), make([]byte, 20)...), broken: true},
		"v2 of version 1":         {header: rawHeaderV2(0x11, 0x11, addresses4), broken: true},
		"v2 of version 3":         {header: rawHeaderV2(0x31, 0x11, addresses4), broken: true},
		"v2 another command":      {header: rawHeaderV2(0x22, 0x11, addresses4), broken: true},
		"v2 another family":       {header: rawHeaderV2(0x21, 0x41, make([]byte, 216)), broken: true},
		"v2 UDP":                  {header: rawHeaderV2(0x21, 0x12, addresses4), broken: true},
		"v2 shorter than TCP4":    {header: rawHeaderV2(0x21, 0x11, addresses4[:11]), broken: true},
		"v2 shorter than TCP6":    {header: rawHeaderV2(0x21, 0x21, make([]byte, 35)), broken: true},
		"v2 shorter than Unix":    {header: rawHeaderV2(0x21, 0x31, make([]byte, 215)), broken: true},
		"v2 longer than may be":   {header: headerV2(client4, "10.0.0.1:80", make([]byte, maxProxyV2-27)...), broken: true},
		"v2 of 64 KiB":            {header: rawHeaderV2(0x21, 0x11, make([]byte, 1<<16-1))[:proxyV2Fixed], broken: true},
		"v1 longer than may be":   {header: []byte("PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n"), broken: true},
		"v1 without an end":       {header: []byte("PROXY TCP4 " + strings.Repeat("1", 200)), broken: true},
		"v1 another protocol":     {header: []byte("PROXY UDP4 203.0.113.7 10.0.0.1 4711 80\r\n"), broken: true},
		"v1 without a protocol":   {header: []byte("PROXY \r\n"), broken: true},
		"v1 TCP4 with IPv6":       {header: []byte("PROXY TCP4 2001:db8::7 ::1 4711 80\r\n"), broken: true},
		"v1 TCP6 with IPv4":       {header: []byte("PROXY TCP6 203.0.113.7 10.0.0.1 4711 80\r\n"), broken: true},
		"v1 with a zone":          {header: []byte("PROXY TCP6 fe80::1%eth0 ::1 4711 80\r\n"), broken: true},
		"v1 with a name":          {header: []byte("PROXY TCP4 localhost 10.0.0.1 4711 80\r\n"), broken: true},
		"v1 port over 65535":      {header: []byte("PROXY TCP4 203.0.113.7 10.0.0.1 65536 80\r\n"), broken: true},
		"v1 port with a sign":     {header: []byte("PROXY TCP4 203.0.113.7 10.0.0.1 +1 80\r\n"), broken: true},
		"v1 port with a zero":     {header: []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 080\r\n"), broken: true},
		"v1 too few fields":       {header: []byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n"), broken: true},
		"v1 two spaces":           {header: []byte("PROXY TCP4  203.0.113.7 10.0.0.1 4711 80\r\n"), broken: true},
		"v1 ended by a line feed": {header: append([]byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\n"), make([]byte, 107)...), broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			from, n, err := proxyHeader(append(c.header[:len(c.header):len(c.header)], "and more"...))
			if c.broken {
				if err == nil {
					t.Errorf("taken for a header of %d bytes, from %v", n, from)
				}
				return
			}
			if err != nil || n != len(c.header) {
				t.Fatalf("%d of %d bytes, %v", n, len(c.header), err)
			}
			if want := c.from; want == "" && from.IsValid() || want != "" && from.String() != want {
				t.Errorf("from %v, not %q", from, want)
			}
			for k := range n {
				if _, n, err := proxyHeader(c.header[:k]); n != 0 || err != nil {
					t.Fatalf("of %d bytes: %d, %v", k, n, err)
				}
			}
		})
	}
}

// A header of an impossible length is refused as soon as its length is there, one of
// another kind with its first wrong byte.
func TestBrokenProxyHeaderIsNotWaitedFor(t *testing.T) {
	for _, b := range [][]byte{{0}, []byte("PROXI"), []byte("\r\n\r\r"), rawHeaderV2(0x21, 0x11, make([]byte, 1<<15))[:proxyV2Fixed]} {
		if _, n, err := proxyHeader(b); err == nil {
			t.Errorf("%q: %d", b, n)
		}
	}
}

// Whatever comes: a header ends where it ends, however much of it or behind it is
// there, and who comes from it is a plain address.
func FuzzProxyHeader(f *testing.F) {
	f.Add(headerV2(client4, "10.0.0.1:80", 1, 2, 3), 20)
	f.Add(headerV2(client6, "[::1]:80"), 16)
	f.Add(rawHeaderV2(0x20, 0, nil), 3)
	f.Add(rawHeaderV2(0x21, 0x31, make([]byte, 216)), 100)
	f.Add([]byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\nrest"), 30)
	f.Add([]byte("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"), 12)
	f.Add([]byte("PROXY UNKNOWN whatever\r\n"), 14)
	f.Fuzz(func(t *testing.T, b []byte, k int) {
		from, n, err := proxyHeader(b)
		if err != nil && n != 0 || n < 0 || n > min(len(b), maxProxyV2) {
			t.Fatalf("%d of %d bytes, %v", n, len(b), err)
		}
		if n == 0 && from.IsValid() {
			t.Fatalf("from %v without a header", from)
		}
		if n == 0 && err == nil && len(b) >= maxProxyV2 {
			t.Fatalf("%d bytes are not enough", len(b))
		}
		if a := from.Addr(); a.Zone() != "" || a.Is4In6() {
			t.Fatalf("from %v", from)
		}
		if k < 0 || k > len(b) {
			return
		}
		part, m, perr := proxyHeader(b[:k])
		switch {
		case perr != nil && err == nil:
			t.Fatalf("%d bytes are none, %d are %d, from %v", k, len(b), n, from)
		case m > 0 && (m != n || part != from):
			t.Fatalf("%d bytes have a header of %d from %v, %d one of %d from %v", k, m, part, len(b), n, from)
		case n > 0 && k < n && (m != 0 || perr != nil):
			t.Fatalf("%d bytes of a header of %d: %d, %v", k, n, m, perr)
		}
	})
}
