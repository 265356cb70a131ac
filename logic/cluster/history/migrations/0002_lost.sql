-- Messages that were lost with records of their queue and were given up: once the queue is
-- taken in up to position, what is not in messages of a conversation up to seq does not exist.
CREATE TABLE IF NOT EXISTS lost (
    kind UInt8,
    a UInt64,
    b UInt64,
    seq UInt64,
    class UInt8,
    queue UInt16,
    position Int64
) ENGINE = MergeTree()
ORDER BY (kind, a, b, seq)
SETTINGS index_granularity = 1024;
