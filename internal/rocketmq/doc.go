// Package rocketmq is the chain's Stream on Apache RocketMQ.
//
// Records go out through rocketmq-client-go. What that client does not offer, or does
// badly, goes over the broker's own protocol (remote): pulling, the bounds of a queue,
// whether a broker answers at all, and making topics.
//
// The broker has to flush before it acknowledges (flushDiskType=SYNC_FLUSH), and to
// take the group names of this client (autoCreateSubscriptionGroup=true).
package rocketmq
