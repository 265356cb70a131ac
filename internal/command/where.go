package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"gannet/internal/registry"
	"gannet/protocol"
)

// whereCmd tells who is connected to a cluster, and where.
type whereCmd struct {
	User *uint64 `arg:"" optional:"" help:"The user to look for. Without one, how many are connected to each gateway."`

	clusterFlags `embed:""`
}

// Help is printed by gannet where --help.
func (whereCmd) Help() string {
	return "Says to which gateways of a cluster a user is connected, with which devices; without a user, which nodes there are and how many devices are connected to each gateway. It ends with 1 if the user is not connected."
}

// whereTime bounds what is asked: it is answered in milliseconds, or something is wrong.
const whereTime = 10 * time.Second

// Run prints where the user is connected, or all nodes.
func (c *whereCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler) // whatever goes wrong here is an error, and said as that
	slog.SetDefault(quiet)
	l, err := c.openLive(ctx, quiet)
	if err != nil {
		return err
	}
	defer l.close()
	if c.User == nil {
		return l.printNodes(ctx, os.Stdout)
	}
	return l.printUser(ctx, os.Stdout, *c.User)
}

// printUser prints where a user is connected; it is an error if nowhere.
func (l *live) printUser(ctx context.Context, to io.Writer, user uint64) error {
	devices, err := l.devices(ctx, user)
	if err != nil {
		return err
	}
	if len(devices) == 0 {
		return fmt.Errorf("user %d is not connected", user)
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tPLATFORM\tGATEWAY\tCLIENTS\tCONNECTION")
	for _, d := range devices {
		node, ok := l.gateway(d.At.Gateway)
		clients := cmp.Or(node.Addresses[clientsAddress], "-")
		if !ok {
			clients = "not registered"
		}
		fmt.Fprintf(t, "%d\t%s\t%x\t%s\t%x\n", d.Device, platformName(d.Platform), d.At.Gateway, clients, d.At.Conn)
	}
	return t.Flush()
}

func platformName(p protocol.Platform) string {
	switch p {
	case protocol.PlatformMobile:
		return "mobile"
	case protocol.PlatformDesktop:
		return "desktop"
	case protocol.PlatformWeb:
		return "web"
	case protocol.PlatformBot:
		return "bot"
	}
	return "other"
}

// clientsAddress is the key in Node.Addresses for the address at which clients reach a gateway.
const clientsAddress = "clients"

// printNodes prints all nodes, and how many are connected.
func (l *live) printNodes(ctx context.Context, to io.Writer) error {
	nodes := slices.Clone(l.registry.View().Nodes)
	if len(nodes) == 0 {
		return errNobody
	}
	counts, err := l.registry.Counts(ctx)
	if err != nil {
		return err
	}
	all, err := l.directory.Count(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(nodes, func(x, y registry.Node) int { return cmp.Compare(x.Role, y.Role) })
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tEPOCH\tSTATE\tSINCE\tRPC\tCLIENTS\tCONNECTED")
	for _, n := range nodes {
		connected := "-"
		if n.Role == registry.Gateway {
			connected = fmt.Sprint(counts[n.Epoch])
		}
		fmt.Fprintf(t, "%s\t%x\t%s\t%s\t%s\t%s\t%s\n", n.Role, n.Epoch, n.State, n.Since.Local().Format(time.DateTime),
			cmp.Or(n.Addresses[registry.RPC], "-"), cmp.Or(n.Addresses[clientsAddress], "-"), connected)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%d users with %d devices\n", all.Users, all.Devices)
	return err
}
