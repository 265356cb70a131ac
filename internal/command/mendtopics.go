package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"gannet/internal/chain"
	"gannet/internal/cluster"
	"gannet/internal/rocketmq"
)

// errTopics says that topics are gone and were not made again.
var errTopics = errors.New("RocketMQ does not have topics of this cluster any more; restore its disk, or have them made again, empty, by `gannet mend --accept-loss`")

// topics checks whether the brokers have the topics of the plan. A broker whose disk was emptied
// does not have them. With --accept-loss it makes them again and gives how many. Otherwise it says
// which are gone, and returns errTopics.
func (c *mendCmd) topics(ctx context.Context, plan *cluster.Plan, out io.Writer) (made int, err error) {
	topics := plan.Topics()
	gone := false
	for _, at := range slices.SortedFunc(maps.Keys(topics), func(x, y cluster.Topic) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Broker, y.Broker))
	}) {
		queues := topics[at]
		err := rocketmq.CheckTopic(ctx, c.Rocketmq, at.Broker, at.Name, queues)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, chain.ErrNoQueue):
			return made, fmt.Errorf("%w (where the name servers are says --rocketmq)", err)
		case !c.AcceptLoss:
			gone = true
			fmt.Fprintf(out, "topic %s: broker %s does not have it, or not all of its %d queues: its disk was emptied or is another one, and what it had acknowledged of these queues it does not have either; nobody can send to them, and messages that are not pushed yet wait\n", at.Name, at.Broker, queues)
			continue
		}
		fmt.Fprintf(out, "topic %s: broker %s does not have it, or not all of its %d queues; it is made again\n", at.Name, at.Broker, queues)
		if err := rocketmq.MakeTopic(ctx, c.Rocketmq, at.Broker, at.Name, queues); err != nil {
			return made, err
		}
		made++
	}
	if gone {
		return made, errTopics
	}
	return made, nil
}
