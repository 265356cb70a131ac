// Package token signs and verifies the tokens with which users log in.
package token

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gannet/internal/folder"
)

// ErrNone says that a folder has no key.
var ErrNone = errors.New("token: there is no key")

// Errors of Verify.
var (
	ErrInvalid = errors.New("token: the token is malformed, has a wrong signature, or names no user")
	ErrExpired = errors.New("token: the token is past its time")
)

// Verifier checks the token of a HELLO and says until when it is valid. Verify returns ErrInvalid
// or ErrExpired for a token that will never be accepted. Any other error means that it could not
// tell.
type Verifier interface {
	Verify(token []byte) (user uint64, expires time.Time, err error)
}

// Keys signs and verifies tokens. A token is a JWT: its header names the key (kid), and its claims
// are sub, which is the user as a decimal number, and exp. Each key has one alg, EdDSA (Ed25519) or
// HS256. A token with another alg in its header is refused. Keys do not change after they were
// loaded; methods may be called concurrently.
type Keys struct {
	dir    string
	keys   map[string]key // by kid
	signer string         // the kid that signs, "" if none can
}

// key is what verifies the tokens that name it, and perhaps signs them.
type key struct {
	method jwt.SigningMethod
	verify any
	sign   any // nil when it only verifies
}

// LoadKeys reads the keys in a folder. A file <kid>.pem holds an Ed25519 private key in PKCS #8
// (mode 0600), which signs and verifies, or a public key, which only verifies. A file <kid>.secret
// (mode 0600) holds a secret for HS256 that is shared with another program, which signs with it.
// White space around the secret does not count. If there are several private keys, the one whose
// kid sorts last signs. The kids that OpenKeys makes begin with the date, so that is the newest
// key. A secret signs only if there is no private key. A folder without a key is an error.
func LoadKeys(dir string) (*Keys, error) {
	k, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	return k, nil
}

// OpenKeys is LoadKeys, but it creates the folder (mode 0700) and a first key if there is none.
// Only the process that owns the data may call it: two processes that find no key would each make a
// key that the other does not know.
func OpenKeys(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("token: cannot create the folder for keys: %w", err)
	}
	k, err := readKeys(dir)
	if err != nil || len(k.keys) > 0 {
		return k, err
	}
	if err := createKey(dir, time.Now()); err != nil {
		return nil, fmt.Errorf("token: cannot create a key in %s: %w", dir, err)
	}
	return readKeys(dir)
}

// Names gives a name for each key, sorted. The name is the kid, and for an Ed25519 key also the
// beginning of the digest of the public key. So two folders with different keys of one kid have
// different names. The name of a secret tells nothing but its kid.
func (k *Keys) Names() []string {
	names := make([]string, 0, len(k.keys))
	for kid, one := range k.keys {
		if public, ok := one.verify.(ed25519.PublicKey); ok {
			sum := sha256.Sum256(public)
			kid += ":" + hex.EncodeToString(sum[:4])
		}
		names = append(names, kid)
	}
	slices.Sort(names)
	return names
}

func readKeys(dir string) (*Keys, error) {
	if err := folder.Check(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("token: the folder of keys is refused, for whoever can put a key there logs in as anyone: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("token: cannot read keys: %w", err)
	}
	k := &Keys{dir: dir, keys: make(map[string]key)}
	for _, file := range files { // in the order of their names
		suffix := filepath.Ext(file.Name())
		read := readers[suffix]
		kid := strings.TrimSuffix(file.Name(), suffix)
		if read == nil || kid == "" {
			continue
		}
		if _, twice := k.keys[kid]; twice {
			return nil, fmt.Errorf("token: two keys in %s are called %s, which a token could not tell apart: rename one", dir, kid)
		}
		one, err := read(filepath.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		k.keys[kid] = one
		if one.sign != nil && (one.method == jwt.SigningMethodEdDSA || k.keys[k.signer].method != jwt.SigningMethodEdDSA) {
			k.signer = kid
		}
	}
	return k, nil
}

// pemSuffix ends the name of a file with an Ed25519 key; what precedes it is the kid.
const pemSuffix = ".pem"

// readers read key files, by the suffix of the file name.
var readers = map[string]func(path string) (key, error){pemSuffix: readPEM, ".secret": readSecret}

// read reads a key file that nobody else can change.
func read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token: cannot read a key: %w", err)
	}
	if err := folder.Check(path); err != nil {
		return nil, fmt.Errorf("token: a key is refused, for whoever can change it logs in as anyone: %w", err)
	}
	return data, nil
}

// minSecret is how many bytes a secret has at least, as RFC 7518 wants it for HS256:
// shorter ones can be guessed from a single token.
const minSecret = 32

// readSecret reads a secret.
func readSecret(path string) (key, error) {
	data, err := read(path)
	if err == nil {
		err = checkMode(path)
	}
	if err != nil {
		return key{}, err
	}
	secret := bytes.TrimSpace(data)
	if len(secret) < minSecret {
		return key{}, fmt.Errorf("token: the secret in %s has %d bytes, and fewer than %d can be guessed: make one with head -c 32 /dev/urandom | base64", path, len(secret), minSecret)
	}
	return key{jwt.SigningMethodHS256, secret, secret}, nil
}

// readPEM reads an Ed25519 key.
func readPEM(path string) (key, error) {
	data, err := read(path)
	if err != nil {
		return key{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return key{}, fmt.Errorf("token: %s is not a PEM file", path)
	}
	var parsed any
	switch block.Type {
	case "PRIVATE KEY":
		if err := checkMode(path); err != nil {
			return key{}, err
		}
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		err = fmt.Errorf("it holds a %s", block.Type)
	}
	if err != nil {
		return key{}, fmt.Errorf("token: %s is not an Ed25519 key in PKCS #8 or PKIX: %w", path, err)
	}
	switch parsed := parsed.(type) {
	case ed25519.PrivateKey:
		return key{jwt.SigningMethodEdDSA, parsed.Public(), parsed}, nil
	case ed25519.PublicKey:
		return key{jwt.SigningMethodEdDSA, parsed, nil}, nil
	default:
		return key{}, fmt.Errorf("token: %s is not an Ed25519 key but a %T", path, parsed)
	}
}

// checkMode refuses a private key or a secret that others than its owner may touch: whoever
// reads it can log in as anybody.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("token: cannot read a key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return fmt.Errorf("token: %s, with which tokens are signed, has mode %04o, so others than its owner may be able to use it; run chmod 0600 on it, or replace the key if it may have been read", path, mode)
	}
	return nil
}

// createKey writes a new private key. The file gets its name only when it is
// whole and durable, so a crash leaves a key or none.
func createKey(dir string, now time.Time) (err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	var suffix [4]byte // two keys of one second differ
	rand.Read(suffix[:])
	kid := now.UTC().Format("20060102t150405z") + "-" + hex.EncodeToString(suffix[:])

	temp, err := os.CreateTemp(dir, "new-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	err = pem.Encode(temp, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	err = cmp.Or(err, temp.Sync())
	err = cmp.Or(err, temp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), filepath.Join(dir, kid+pemSuffix)); err != nil {
		return err
	}
	return cmp.Or(syncDir(dir), syncDir(filepath.Dir(dir))) // the folder may be new as well
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sign makes a token with which user can log in until now plus ttl.
func (k *Keys) Sign(user uint64, ttl time.Duration, now time.Time) (string, error) {
	by, ok := k.keys[k.signer]
	if !ok {
		return "", fmt.Errorf("token: %s holds public keys only, which cannot sign: %w", k.dir, fs.ErrNotExist)
	}
	if user == 0 {
		return "", errors.New("token: there is no user 0")
	}
	token := jwt.NewWithClaims(by.method, jwt.RegisteredClaims{
		Subject:   strconv.FormatUint(user, 10),
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	})
	token.Header["kid"] = k.signer
	return token.SignedString(by.sign)
}

// parser accepts only the algs that keys may have.
var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg(), jwt.SigningMethodHS256.Alg()}),
	jwt.WithExpirationRequired(),
)

// Verify checks a token and says when it ends. The error is ErrInvalid or ErrExpired.
func (k *Keys) Verify(token []byte) (user uint64, expires time.Time, err error) {
	var claims jwt.RegisteredClaims
	_, err = parser.ParseWithClaims(string(token), &claims, k.find)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return 0, time.Time{}, ErrExpired
	}
	if err != nil {
		return 0, time.Time{}, ErrInvalid
	}
	user, err = strconv.ParseUint(claims.Subject, 10, 64)
	if err != nil || user == 0 {
		return 0, time.Time{}, ErrInvalid
	}
	return user, claims.ExpiresAt.Time, nil // the parser makes sure that there is one
}

// Claimed gives the user whom a token names, or 0 if it names none. It verifies nothing. A client
// may call it for a token that it is going to show, but a server must never let somebody in by it.
func Claimed(token string) (user uint64) {
	var claims jwt.RegisteredClaims
	if _, _, err := parser.ParseUnverified(token, &claims); err != nil {
		return 0
	}
	user, err := strconv.ParseUint(claims.Subject, 10, 64)
	if err != nil {
		return 0
	}
	return user
}

// find gives the key that a token names. The alg of the token must be that of the key: otherwise
// somebody could take a public key, which everybody may know, as a secret and sign by HS256.
func (k *Keys) find(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	if named, ok := k.keys[kid]; ok && named.method == token.Method {
		return named.verify, nil
	}
	return nil, jwt.ErrTokenUnverifiable
}
