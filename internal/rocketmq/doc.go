// Package rocketmq is the chain's Stream on Apache RocketMQ.
//
// Records go out and come in through rocketmq-client-go. What that client does not
// offer, or does not tell the outcome of, is asked over the broker's own protocol
// (remote): the bounds of a queue, whether a broker answers at all, and making topics.
//
// The broker has to flush before it acknowledges (flushDiskType=SYNC_FLUSH), and to
// take the group names of this client (autoCreateSubscriptionGroup=true).
package rocketmq
