package endtoend

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// A client chats over TLS with one that does not use it.
func TestChatOverTLS(t *testing.T) {
	cert, key, pool := writeCertificate(t)
	s := startServer(t, "--tls-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	secure := gannet.WithTLS(&tls.Config{RootCAs: pool})
	dial := func(user uint64, address string, opts ...gannet.Option) *gannet.Client {
		client, err := gannet.Dial(ctx, address, sign(t, s.data, user), opts...)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	alice, bob := dial(1, s.TLSAddress(), secure), dial(2, s.Address())
	if _, err := alice.Send(ctx, gannet.User(2), gannet.Text("from behind TLS")); err != nil {
		t.Fatal(err)
	}
	for m, err := range bob.Messages(ctx) {
		if err != nil || m.Text() != "from behind TLS" {
			t.Errorf("bob got %q, %v", m.Text(), err)
		}
		if _, err := bob.Send(ctx, m.Conversation, gannet.Text("and back")); err != nil {
			t.Fatal(err)
		}
		break
	}
	for m, err := range alice.Messages(ctx) {
		if err != nil || m.Text() != "and back" {
			t.Errorf("alice got %q, %v", m.Text(), err)
		}
		break
	}
	for _, client := range []*gannet.Client{alice, bob} {
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// writeCertificate makes a certificate for 127.0.0.1 and the pool that trusts it.
func writeCertificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, pool
}
