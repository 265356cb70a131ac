package token_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gannet/internal/token"
)

// signEdDSA makes a token with the backend's own key, as backend-private.pem has it.
func signEdDSA(file []byte, user uint64) (string, error) {
	key, err := jwt.ParseEdPrivateKeyFromPEM(file)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Subject:   strconv.FormatUint(user, 10),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	})
	token.Header["kid"] = "backend"
	return token.SignedString(key)
}

// signHS256 makes a token with the secret that shop.secret has.
func signHS256(file []byte, user uint64) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject:   strconv.FormatUint(user, 10),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	})
	token.Header["kid"] = "shop"
	return token.SignedString(bytes.TrimSpace(file))
}

// What docs/tokens.md tells a backend to do gives tokens that a server takes, which has the
// keys of such backends beside its own.
func TestBackendsSign(t *testing.T) {
	dir := t.TempDir()
	if _, err := token.OpenKeys(dir); err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("mGZ0TqcmkA8pYQJm4Vn1aEFdYB9m1RrX9HSN7mQkS1Q=\n")
	writeFile(t, filepath.Join(dir, "backend.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}), 0o644)
	writeFile(t, filepath.Join(dir, "shop.secret"), secret, 0o600)
	keys, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, sign := range map[string]func() (string, error){
		"EdDSA": func() (string, error) {
			return signEdDSA(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}), 1<<63+5)
		},
		"HS256": func() (string, error) { return signHS256(secret, 1<<63+5) },
	} {
		signed, err := sign()
		if err != nil {
			t.Fatal(err)
		}
		user, expires, err := keys.Verify([]byte(signed))
		if err != nil || user != 1<<63+5 || time.Until(expires) > time.Hour || time.Until(expires) < 50*time.Minute {
			t.Errorf("%s: user %d until %v, %v", name, user, expires, err)
		}
	}
}

// The code in docs/tokens.md is the code that is tested here, letter by letter.
func TestDocumentShowsWhatIsTested(t *testing.T) {
	document, err := os.ReadFile("../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("backend_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?ms)^```go\n(// sign.*?)^```").FindAllSubmatch(document, -1)
	if len(shown) != 2 {
		t.Errorf("%d functions are shown, want 2", len(shown))
	}
	for _, code := range shown {
		if !bytes.Contains(source, code[1]) {
			t.Errorf("no such function is tested:\n%s", code[1])
		}
	}
}
