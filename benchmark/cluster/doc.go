// Package cluster runs a gannet cluster on this machine, every process of which can be
// killed, stopped and started: the roles as children of this process, and Redis, RocketMQ
// and ClickHouse by scripts/services. So it does with the bare pipeline that is measured
// beside a cluster.
package cluster
