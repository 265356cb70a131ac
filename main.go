// Command gannet is an instant-messaging server and its tools; see gannet --help.
package main

import "gannet/internal/command"

func main() { command.Main() }
