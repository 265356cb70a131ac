package report

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Conditions are what a figure depends on beside the settings.
type Conditions struct {
	Date       time.Time `json:"date"`
	Version    string    `json:"version"`
	Go         string    `json:"go"`
	Platform   string    `json:"platform"`
	Kernel     string    `json:"kernel,omitempty"`
	CPU        string    `json:"cpu,omitempty"`
	Cores      int       `json:"cores"`
	GOMAXPROCS int       `json:"gomaxprocs"`

	// GOGC and GOMEMLIMIT are what the environment says; it is the server's too,
	// which is started by this process. "" means that Go's defaults hold.
	GOGC       string `json:"gogc,omitempty"`
	GOMEMLIMIT string `json:"gomemlimit,omitempty"`
}

// Machine gives the part that hardly changes, for one line.
func (c Conditions) Machine() string {
	parts := []string{c.Go, c.Platform}
	for _, s := range []string{c.Kernel, c.CPU} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	parts = append(parts, fmt.Sprintf("%d cores", c.Cores), fmt.Sprintf("GOMAXPROCS %d", c.GOMAXPROCS))
	if c.GOGC != "" {
		parts = append(parts, "GOGC "+c.GOGC)
	}
	if c.GOMEMLIMIT != "" {
		parts = append(parts, "GOMEMLIMIT "+c.GOMEMLIMIT)
	}
	return strings.Join(parts, ", ")
}

// Command gives the line by which this process was called, to be repeated in a
// shell; the program goes by its name alone.
func Command() string {
	words := []string{filepath.Base(os.Args[0])}
	for _, a := range os.Args[1:] {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Here gives the conditions of this process.
func Here() Conditions {
	return Conditions{
		Date:       time.Now().UTC().Truncate(time.Second),
		Version:    version(),
		Go:         runtime.Version(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:     firstLine("/proc/sys/kernel/osrelease", ""),
		CPU:        firstLine("/proc/cpuinfo", "model name"),
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		GOGC:       os.Getenv("GOGC"),
		GOMEMLIMIT: os.Getenv("GOMEMLIMIT"),
	}
}

// version gives the commit that the executable was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " modified"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + modified
}

// firstLine gives the first line of a file that begins with key, without it and
// a colon; "" where there is none.
func firstLine(file, key string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimLeft(strings.TrimSpace(rest), ": \t")
		}
	}
	return ""
}
