package gannet

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"gannet/protocol"
)

// claim is whom a client says that it is before its login shows it. What is taken under
// a claim is in the store, but nobody's: a login makes it the owner's if it is that of
// the same client, or of a later one with the same claim, and otherwise it is dropped.
type claim struct {
	user   uint64 // 0: it does not say, so no other client has the same claim
	server string // stands for the addresses
}

func (c *claim) same(other *claim) bool {
	return c == other || other != nil && c.user != 0 && *c == *other
}

// claimOf gives the claim of a new client.
func claimOf(o *options, token string, addrs []string) claim {
	mine := claim{user: o.user}
	if mine.user == 0 && !o.refresh {
		mine.user = tokenUser(token)
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(addrs)), ",")))
	mine.server = string(sum[:])
	return mine
}

// tokenUser gives the user whom a token names, 0 when that cannot be read. Only the
// server knows whether the token is good.
func tokenUser(token string) uint64 {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(b, &claims) != nil {
		return 0
	}
	user, err := strconv.ParseUint(claims.Subject, 10, 64)
	if err != nil {
		return 0
	}
	return user
}

// remember fills a new client from its store.
func (c *Client) remember() error {
	j := &c.journal
	if err := j.load(c.opts.store); err != nil {
		return err
	}
	s := &j.saved
	if user := j.mine.user; user != 0 && s.user != 0 && user != s.user {
		return &OwnerError{Kept: j.owner(), Given: Owner{User: user}}
	}
	if d := c.opts.device; d != 0 && s.device != 0 && d != s.device {
		return &OwnerError{Kept: j.owner(), Given: Owner{Device: d}}
	}
	c.device = max(c.opts.device, s.device) // one of them, or both are the same
	c.passing = c.device == 0 && c.opts.store == nil
	for c.device == 0 {
		c.device = rand.Uint64()
	}
	if c.device != s.device {
		if err := j.append(record{kind: recordDevice, id: c.device}); err != nil {
			return err
		}
		if err := j.sync(); err != nil {
			return storeFailed(err)
		}
	}
	c.user.Store(max(s.user, c.opts.user)) // one of them, or both are the same
	c.out.init(s, &j.mine, c.opts.window, uint64(time.Now().UnixMicro()))
	c.inbox.init(s)
	for target, seq := range s.reads {
		c.reads.add(target, seq)
	}
	for _, m := range s.loose {
		if m.claim.same(&j.mine) {
			c.reads.add(m.target, m.seq)
		}
	}
	return nil
}

// belongs says whether the login is the one that this client and its store are for, and
// notes whose they are.
func (c *Client) belongs(w protocol.Welcome) error {
	server := string(w.Server)
	given := Owner{User: w.User, Device: c.device, Server: hex.EncodeToString(w.Server)}
	if c.welcomed() && c.User() != w.User || c.opts.user != 0 && c.opts.user != w.User {
		return &OwnerError{
			Kept:  Owner{User: c.User(), Device: c.device, Server: hex.EncodeToString([]byte(c.link.server))},
			Given: given,
		}
	}
	if err := c.journal.own(w.User, c.device, server); err != nil {
		return err
	}
	if c.link.server != "" && server != "" && c.link.server != server {
		// Without a store the client goes on: seqs of another server mean nothing here.
		c.warn("the server is another one: what was received from it is forgotten")
		c.queue.drop(c.inbox.conversations)
		c.inbox = inbox{}
	}
	c.user.Store(w.User)
	c.link.server = server
	if !c.welcomed() {
		c.tellKept()
	}
	return nil
}

// tellKept tells the outcomes that a store has from lives before. Before the login they
// might be somebody else's.
func (c *Client) tellKept() {
	for _, o := range c.journal.unheard() {
		if c.opts.handler.Outcome == nil {
			c.journal.forget(o.ID)
			continue
		}
		c.mu.Lock()
		c.out.unheard++
		c.mu.Unlock()
		c.tellOutcomes(told{o, true})
	}
}

// owner gives whom the store belongs to.
func (j *journal) owner() Owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Owner{User: j.saved.user, Device: j.saved.device, Server: hex.EncodeToString([]byte(j.saved.server))}
}

// take writes down what the app gives the client: as the owner's, or under the client's
// claim.
func (j *journal) take(r record) error {
	if j.store == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.bound || j.claimed {
		return j.write(r)
	}
	err := j.write(record{kind: recordClaim, id: j.mine.user, text: j.mine.server}, r)
	j.claimed = err == nil
	return err
}

// own makes the store, and what this client was given before, that of a user on a server,
// or says whose the store is.
func (j *journal) own(user, device uint64, server string) error {
	have := j.owner()
	given := Owner{User: user, Device: device, Server: hex.EncodeToString([]byte(server))}
	if have.User != 0 && have.User != user || have.Server != "" && server != "" && have.Server != given.Server {
		return &OwnerError{Kept: have, Given: given}
	}
	wrote, err := j.bind(user, server)
	if err == nil && wrote {
		// On disk before anything is sent: what is in the store belongs to this user.
		if err = j.sync(); err != nil {
			err = storeFailed(err)
		}
	}
	return err
}

// bind is own without the disk; it says whether there is something to be synced.
func (j *journal) bind(user uint64, server string) (wrote bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.saved
	known := s.user == user && (s.server == server || server == "")
	switch {
	case j.store == nil:
	case s.undecided():
		owner := record{kind: recordOwner, id: user, text: max(s.server, server)} // one of them, or both are the same
		if j.claimed {
			err = j.write(owner)
		} else {
			err = j.write(record{kind: recordClaim, id: j.mine.user, text: j.mine.server}, owner)
		}
		wrote = true
	case !known:
		err, wrote = j.write(record{kind: recordOwner, id: user, text: server}), true
	}
	j.bound = j.bound || err == nil
	return wrote, err
}

// unclaim drops what was taken under the claim of this client, when its login was that of
// somebody else, or never came and no other client has the same claim. It says whether
// there can have been something.
func (j *journal) unclaim(stranger bool) (dropped bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.bound || !stranger && (j.store == nil || j.mine.user != 0) {
		return false
	}
	if j.claimed {
		j.write(record{kind: recordUnclaim})
		j.claimed = false
	}
	return true
}

// unheard gives the outcomes that the store has.
func (j *journal) unheard() []Outcome {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []Outcome
	for _, k := range j.saved.taken {
		if k.settled != nil {
			list = append(list, *k.settled)
		}
	}
	return list
}

// looseMark is a read mark that was given under a claim.
type looseMark struct {
	target Target
	seq    uint64
	claim  *claim
}

// undecided says whether anything in the store is under a claim. What is comes last.
func (s *saved) undecided() bool {
	n := len(s.taken)
	return s.claim != nil || len(s.loose) > 0 || n > 0 && s.taken[n-1].claim != nil
}

// decide makes what is under the last claim the owner's, and drops the rest.
func (s *saved) decide() {
	for i := range s.taken {
		k := &s.taken[i]
		if k.claim != nil && !k.claim.same(s.claim) {
			k.settled, k.draft = &Outcome{ID: k.id, To: k.target, Err: ErrDropped}, Draft{}
		}
		k.claim = nil
	}
	for _, m := range s.loose {
		if m.claim.same(s.claim) {
			s.reads[m.target] = max(s.reads[m.target], m.seq)
		}
	}
	s.loose, s.claim = nil, nil
}

// drop forgets what is under the last claim, and that claim.
func (s *saved) drop() {
	s.taken = slices.DeleteFunc(s.taken, func(k keptMessage) bool { return k.claim != nil && k.claim == s.claim })
	s.loose = slices.DeleteFunc(s.loose, func(m looseMark) bool { return m.claim == s.claim })
	s.claim = nil
}

// claims gives the claims under which something was taken, oldest first, and the last
// one.
func (s *saved) claims() []*claim {
	var list []*claim
	add := func(c *claim) {
		if c != nil && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	for _, k := range s.taken {
		add(k.claim)
	}
	for _, m := range s.loose {
		add(m.claim)
	}
	if s.claim != nil {
		list = append(slices.DeleteFunc(list, func(c *claim) bool { return c == s.claim }), s.claim)
	}
	return list
}
