-- The messages. A row never changes: rows of one (kind, a, b, seq) are equal, but that those
-- with linked = 0 do not know previous. Granules are small, because a row may be 64 KiB.
CREATE TABLE IF NOT EXISTS messages (
    kind UInt8,
    a UInt64,
    b UInt64,
    seq UInt64,
    before UInt64,
    sender UInt64,
    device UInt64,
    client_id UInt64,
    previous UInt64,
    linked UInt8,
    time UInt64,
    at DateTime,
    content UInt8,
    silent UInt8,
    n UInt64,
    own UInt64,
    size UInt32,
    body String
) ENGINE = ReplacingMergeTree(linked)
PARTITION BY toMonday(at)
ORDER BY (kind, a, b, seq)
SETTINGS index_granularity = 128;

-- The same messages without their bodies, by sender.
CREATE TABLE IF NOT EXISTS senders (
    kind UInt8,
    a UInt64,
    b UInt64,
    sender UInt64,
    seq UInt64,
    device UInt64,
    client_id UInt64,
    previous UInt64,
    linked UInt8,
    time UInt64,
    at DateTime,
    n UInt64,
    own UInt64
) ENGINE = ReplacingMergeTree(linked)
PARTITION BY toMonday(at)
ORDER BY (kind, a, b, sender, seq)
SETTINGS index_granularity = 1024;

-- One row for each conversation; the one with the highest version counts.
CREATE TABLE IF NOT EXISTS conversations (
    part UInt8,
    kind UInt8,
    a UInt64,
    b UInt64,
    head UInt64,
    time UInt64,
    n UInt64,
    changed UInt64,
    version UInt64
) ENGINE = ReplacingMergeTree(version)
ORDER BY (part, kind, a, b)
SETTINGS index_granularity = 1024;

-- One row for each user in a conversation; the one with the highest version counts.
CREATE TABLE IF NOT EXISTS cursors (
    part UInt8,
    kind UInt8,
    a UInt64,
    b UInt64,
    user UInt64,
    delivered UInt64,
    read UInt64,
    counted UInt8,
    n UInt64,
    own UInt64,
    total UInt64,
    changed UInt64,
    version UInt64
) ENGINE = ReplacingMergeTree(version)
ORDER BY (part, kind, a, b, user)
SETTINGS index_granularity = 1024;

-- One row for each device in a conversation; the one with the highest version counts.
CREATE TABLE IF NOT EXISTS devices (
    part UInt8,
    kind UInt8,
    a UInt64,
    b UInt64,
    user UInt64,
    device UInt64,
    client_id UInt64,
    last UInt64,
    acked UInt64,
    time UInt64,
    changed UInt64,
    gone UInt8,
    version UInt64
) ENGINE = ReplacingMergeTree(version)
ORDER BY (part, kind, a, b, user, device)
SETTINGS index_granularity = 1024;

-- How far the queues are taken in; the newest row of a queue counts. The server answers
-- before it has synced: up to position everything is there while the server runs that began
-- in the second run of its clock, and up to safe_position for certain.
CREATE TABLE IF NOT EXISTS marks (
    class UInt8,
    queue UInt16,
    position Int64,
    writer UInt64,
    number UInt64,
    safe_position Int64,
    safe_writer UInt64,
    safe_number UInt64,
    run Int64,
    at DateTime DEFAULT now()
) ENGINE = ReplacingMergeTree(at)
ORDER BY (class, queue)
SETTINGS index_granularity = 1024;

-- The last message of each conversation that retention has removed, and with it all before
-- it. The highest seq counts.
CREATE TABLE IF NOT EXISTS removed (
    kind UInt8,
    a UInt64,
    b UInt64,
    seq UInt64,
    n UInt64,
    sender UInt64,
    device UInt64,
    client_id UInt64,
    time UInt64,
    content UInt8,
    size UInt32,
    body String
) ENGINE = ReplacingMergeTree(seq)
ORDER BY (kind, a, b)
SETTINGS index_granularity = 128;

-- The last message of each sender in a conversation that retention has removed.
CREATE TABLE IF NOT EXISTS removed_senders (
    kind UInt8,
    a UInt64,
    b UInt64,
    sender UInt64,
    seq UInt64,
    own UInt64
) ENGINE = ReplacingMergeTree(seq)
ORDER BY (kind, a, b, sender)
SETTINGS index_granularity = 1024;
