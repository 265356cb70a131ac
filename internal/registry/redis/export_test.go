package redis

// Halt makes the process say and hear nothing until Resume.
func (r *Registry) Halt() { r.talk.Lock() }

// Resume ends a Halt.
func (r *Registry) Resume() { r.talk.Unlock() }
