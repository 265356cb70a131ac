package command

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
)

// patience bounds every wait; nothing here takes a fraction of it.
const patience = time.Minute

// keyPair makes a certificate and its key, PEM.
func keyPair(t *testing.T) (cert, key []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// readyz asks until somebody answers.
func readyz(t *testing.T, address string) (status int, body string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		answer, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			b, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, string(b)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A server is ready from when its last listener accepts, which is the one with TLS, until
// it begins to stop. The certificate comes out of a pipe, which keeps the start there.
func TestReadyOnceEverythingAccepts(t *testing.T) {
	cert, key := keyPair(t)
	dir := t.TempDir()
	pipe, keyFile, debug := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), servicestest.FreeAddress(t)
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	c := parseServe(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--debug", debug, "--min-free", "0",
		"--tls-listen", "127.0.0.1:0", "--tls-cert", pipe, "--tls-key", keyFile)
	type result struct {
		server *server
		err    error
	}
	started := make(chan result, 1)
	go func() {
		s, err := c.start(slog.New(slog.DiscardHandler))
		started <- result{s, err}
	}()
	if status, body := readyz(t, debug); status != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("before there is TLS it is ready: %d, %q", status, body)
	}
	if err := os.WriteFile(pipe, cert, 0o600); err != nil { // waits for the server to read it
		t.Fatal(err)
	}
	r := <-started
	if r.err != nil {
		t.Fatal(r.err)
	}
	s := r.server
	if status, body := readyz(t, debug); status != http.StatusOK {
		t.Errorf("with everything there it is not ready: %d, %q", status, body)
	}
	conn, err := tls.Dial("tcp", s.tlsAddress, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.began("test", func(context.Context) error { // it is stopped first
		if status, body := readyz(t, debug); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
			t.Errorf("while it stops it is ready: %d, %q", status, body)
		}
		return nil
	})
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
