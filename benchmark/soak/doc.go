// Package soak has the apps of gannet bench soak, which are killed at any moment, and
// judges by what they wrote down: each client keeps a diary, synced line by line, so that
// what an app was told or did before it died is known.
package soak
