package command

import (
	"context"
	"time"

	clusterredis "gannet/internal/cluster/redis"
)

// keepPlanEvery is how often Redis is asked whether it still has the plan.
const keepPlanEvery = time.Second

// keepPlan brings the plan back to Redis whenever Redis lost it, until ctx ends: a gateway
// or transfer node that starts finds it nowhere else.
func (n *node) keepPlan(ctx context.Context, name string) {
	near := clusterredis.Copy{Client: n.client, Name: name}
	ticker := time.NewTicker(keepPlanEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if plan, err := near.Load(ctx); err != nil || plan != nil {
			continue // others say that Redis does not answer
		}
		if _, err := near.Save(ctx, n.plan); err == nil {
			n.log.Warn("Redis lost the plan of the cluster, which is written to it again", "cluster", name)
		}
	}
}
