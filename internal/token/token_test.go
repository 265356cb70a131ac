package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gannet/internal/token"
)

// writeKey puts a key into the folder and gives its two halves.
func writeKey(t *testing.T, dir, kid string, publicOnly bool) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.Block{Type: "PUBLIC KEY"}
	if publicOnly {
		block.Bytes, err = x509.MarshalPKIXPublicKey(public)
	} else {
		block.Type = "PRIVATE KEY"
		block.Bytes, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, kid+".pem"), pem.EncodeToMemory(&block), 0o600)
	return public, private
}

func writeFile(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask says
		t.Fatal(err)
	}
}

func mustSign(t *testing.T, k *token.Keys, user uint64) string {
	t.Helper()
	signed, err := k.Sign(user, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func kidOf(t *testing.T, signed string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(signed, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header["kid"].(string)
}

func TestFirstStartMakesAKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := token.LoadKeys(dir); err == nil {
		t.Fatal("LoadKeys made up a folder")
	}
	first, err := token.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the folder has mode %v (%v), want 0700", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v (%v), want one key and nothing else", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key has mode %v (%v), want 0600", info.Mode(), err)
	}

	again, err := token.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	signed := mustSign(t, first, 1<<63+5)
	for _, k := range []*token.Keys{first, again, loaded} {
		if user, _, err := k.Verify([]byte(signed)); err != nil || user != 1<<63+5 {
			t.Fatalf("user %d (%v), want %d", user, err, uint64(1<<63+5))
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	writeKey(t, dir, "2024", false)
	old, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := mustSign(t, old, 5)
	writeKey(t, dir, "2025", false)
	writeKey(t, dir, "2026", true) // of someone else, who signs tokens too
	both, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	after := mustSign(t, both, 5)
	if kid := kidOf(t, after); kid != "2025" {
		t.Fatalf("signed with %s, want the newest private key, 2025", kid)
	}
	for name, signed := range map[string]string{"old": before, "new": after} {
		if user, _, err := both.Verify([]byte(signed)); err != nil || user != 5 {
			t.Errorf("the %s token gives %d (%v), want 5", name, user, err)
		}
	}
	if _, _, err := old.Verify([]byte(after)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a token of an unknown key gives %v, want ErrInvalid", err)
	}
}

// TestSign: a token is good from now on for as long as it says, and names a user.
func TestSign(t *testing.T) {
	k, err := token.OpenKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for ago, want := range map[time.Duration]error{-2 * time.Hour: nil, 0: nil, 59 * time.Minute: nil, 61 * time.Minute: token.ErrExpired} {
		signed, err := k.Sign(5, time.Hour, time.Now().Add(-ago))
		if err != nil {
			t.Fatal(err)
		}
		user, expires, err := k.Verify([]byte(signed))
		if !errors.Is(err, want) || want == nil && (err != nil || user != 5) {
			t.Errorf("a token of an hour, made %v ago, gives %d, %v; want %v", ago, user, err, want)
		}
		if left := time.Until(expires); want == nil && (left > time.Hour-ago || left < time.Hour-ago-time.Minute) {
			t.Errorf("a token of an hour, made %v ago, is said to end in %v", ago, left)
		}
	}
	if signed, err := k.Sign(0, time.Hour, time.Now()); err == nil {
		t.Errorf("there is no user 0, and its token is %s", signed)
	}
}

// A secret signs where nothing else can, and only there.
func TestSecretsSignInNeed(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "z.secret"), []byte(strings.Repeat("s", 40)), 0o600)
	alone, err := token.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	signed := mustSign(t, alone, 5)
	if kid := kidOf(t, signed); kid != "z" {
		t.Errorf("signed with %s", kid)
	}
	writeKey(t, dir, "a", false)
	both, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if kid := kidOf(t, mustSign(t, both, 5)); kid != "a" {
		t.Errorf("signed with %s though there is a private key", kid)
	}
	for _, k := range []*token.Keys{alone, both} {
		if user, _, err := k.Verify([]byte(signed)); err != nil || user != 5 {
			t.Errorf("user %d (%v), want 5", user, err)
		}
	}
}

func TestPublicKeysOnlyVerify(t *testing.T) {
	dir := t.TempDir()
	_, private := writeKey(t, dir, "theirs", true)
	k, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(5, time.Hour, time.Now()); err == nil {
		t.Error("signed without a private key")
	}
	claims := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "5", "exp": time.Now().Add(time.Hour).Unix()})
	claims.Header["kid"] = "theirs"
	signed, err := claims.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	if user, _, err := k.Verify([]byte(signed)); err != nil || user != 5 {
		t.Errorf("user %d (%v), want 5", user, err)
	}
}

func TestBadTokens(t *testing.T) {
	dir := t.TempDir()
	public, private := writeKey(t, dir, "k", false)
	_, stranger := writeKey(t, t.TempDir(), "k", false)
	secret := strings.Repeat("s", 32)
	writeFile(t, filepath.Join(dir, "s.secret"), []byte(secret+"\n"), 0o600)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := token.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	claims := func(sub any, exp time.Duration) jwt.MapClaims {
		return jwt.MapClaims{"sub": sub, "exp": time.Now().Add(exp).Unix()}
	}
	good := claims("5", time.Hour)
	for name, c := range map[string]struct {
		method jwt.SigningMethod
		key    any
		kid    any
		claims jwt.MapClaims
		want   error
	}{
		"good":                           {jwt.SigningMethodEdDSA, private, "k", good, nil},
		"expired":                        {jwt.SigningMethodEdDSA, private, "k", claims("5", -time.Second), token.ErrExpired},
		"expired, by a stranger":         {jwt.SigningMethodEdDSA, stranger, "k", claims("5", -time.Second), token.ErrInvalid},
		"by a stranger":                  {jwt.SigningMethodEdDSA, stranger, "k", good, token.ErrInvalid},
		"not signed":                     {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k", good, token.ErrInvalid},
		"HS256 with the public key":      {jwt.SigningMethodHS256, []byte(public), "k", good, token.ErrInvalid},
		"HS256 with the public key file": {jwt.SigningMethodHS256, publicPEM, "k", good, token.ErrInvalid},
		"HS256":                          {jwt.SigningMethodHS256, []byte(secret), "s", good, nil},
		"HS256, expired":                 {jwt.SigningMethodHS256, []byte(secret), "s", claims("5", -time.Second), token.ErrExpired},
		"HS256 with another secret":      {jwt.SigningMethodHS256, []byte(secret + "\n"), "s", good, token.ErrInvalid},
		"HS512 with the secret":          {jwt.SigningMethodHS512, []byte(secret), "s", good, token.ErrInvalid},
		"EdDSA in the secret's name":     {jwt.SigningMethodEdDSA, private, "s", good, token.ErrInvalid},
		"ES256":                          {jwt.SigningMethodES256, ec, "k", good, token.ErrInvalid},
		"no kid":                         {jwt.SigningMethodEdDSA, private, nil, good, token.ErrInvalid},
		"an empty kid":                   {jwt.SigningMethodEdDSA, private, "", good, token.ErrInvalid},
		"a kid that is no string":        {jwt.SigningMethodEdDSA, private, 7, good, token.ErrInvalid},
		"an unknown kid":                 {jwt.SigningMethodEdDSA, private, "../k", good, token.ErrInvalid},
		"no exp":                         {jwt.SigningMethodEdDSA, private, "k", jwt.MapClaims{"sub": "5"}, token.ErrInvalid},
		"not yet valid":                  {jwt.SigningMethodEdDSA, private, "k", jwt.MapClaims{"sub": "5", "exp": good["exp"], "nbf": time.Now().Add(time.Minute).Unix()}, token.ErrInvalid},
		"no sub":                         {jwt.SigningMethodEdDSA, private, "k", jwt.MapClaims{"exp": good["exp"]}, token.ErrInvalid},
		"user 0":                         {jwt.SigningMethodEdDSA, private, "k", claims("0", time.Hour), token.ErrInvalid},
		"a negative user":                {jwt.SigningMethodEdDSA, private, "k", claims("-5", time.Hour), token.ErrInvalid},
		"a user with a name":             {jwt.SigningMethodEdDSA, private, "k", claims("alice", time.Hour), token.ErrInvalid},
		"a user over 64 bits":            {jwt.SigningMethodEdDSA, private, "k", claims("18446744073709551616", time.Hour), token.ErrInvalid},
		"a sub that is no string":        {jwt.SigningMethodEdDSA, private, "k", claims(5, time.Hour), token.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			unsigned := jwt.NewWithClaims(c.method, c.claims)
			if c.kid != nil {
				unsigned.Header["kid"] = c.kid
			}
			signed, err := unsigned.SignedString(c.key)
			if err != nil {
				t.Fatal(err)
			}
			user, expires, err := k.Verify([]byte(signed))
			if !errors.Is(err, c.want) || c.want == nil && (err != nil || user != 5) || c.want != nil && (user != 0 || !expires.IsZero()) {
				t.Fatalf("user %d until %v, %v; want %v", user, expires, err, c.want)
			}
		})
	}
	for _, garbage := range []string{"", ".", "..", "a.b.c", strings.Repeat(".", 5000)} {
		if _, _, err := k.Verify([]byte(garbage)); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%.20q gives %v, want ErrInvalid", garbage, err)
		}
	}
}

func TestBadKeyFiles(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare func(dir string)
		says    string
	}{
		"empty folder": {func(string) {}, "no key"},
		"others may read it": {func(dir string) {
			writeKey(t, dir, "k", false)
			if err := os.Chmod(filepath.Join(dir, "k.pem"), 0o640); err != nil {
				t.Fatal(err)
			}
		}, "chmod 0600"},
		"not PEM": {func(dir string) { writeFile(t, filepath.Join(dir, "k.pem"), []byte("key"), 0o600) }, "not a PEM file"},
		"a certificate": {func(dir string) {
			writeFile(t, filepath.Join(dir, "k.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), 0o600)
		}, "CERTIFICATE"},
		"damaged": {func(dir string) {
			writeFile(t, filepath.Join(dir, "k.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), 0o600)
		}, "not an Ed25519 key"},
		"a secret that others may read": {func(dir string) {
			writeFile(t, filepath.Join(dir, "k.secret"), []byte(strings.Repeat("s", 32)), 0o644)
		}, "chmod 0600"},
		"a short secret": {func(dir string) {
			writeFile(t, filepath.Join(dir, "k.secret"), []byte(strings.Repeat("s", 31)+"\n"), 0o600)
		}, "has 31 bytes"},
		"two keys of one name": {func(dir string) {
			writeKey(t, dir, "k", false)
			writeFile(t, filepath.Join(dir, "k.secret"), []byte(strings.Repeat("s", 32)), 0o600)
		}, "rename one"},
		"another kind of key": {func(dir string) {
			writeFile(t, filepath.Join(dir, "k.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ecDER}), 0o600)
		}, "not an Ed25519 key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.prepare(dir)
			if _, err := token.LoadKeys(dir); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the error is %v, want one that says %q", err, c.says)
			}
		})
	}

	dir := t.TempDir()
	writeKey(t, dir, "k", true)
	if err := os.Chmod(filepath.Join(dir, "k.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "README"), []byte("not a key"), 0o644)
	if _, err := token.LoadKeys(dir); err != nil {
		t.Fatalf("a public key that everybody may read is refused: %v", err)
	}
}
