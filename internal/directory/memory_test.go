package directory_test

import (
	"testing"

	"gannet/internal/directory"
	"gannet/internal/directory/directorytest"
)

func TestMemory(t *testing.T) {
	directorytest.Test(t, func(*testing.T) directory.Directory { return directory.NewMemory() })
}
