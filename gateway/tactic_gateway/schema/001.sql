-- Every packet exactly as it came; (node, boot, pkt) is its identity.
-- status: 0 new, 1 claimed by a worker, 2 waiting for its bundle, 3 done, 4 failed.
CREATE TABLE packets (
    id          INTEGER PRIMARY KEY,
    node        TEXT    NOT NULL,
    boot        INTEGER NOT NULL,
    pkt         INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    bundle      INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    raw         BLOB    NOT NULL,
    UNIQUE (node, boot, pkt)
) STRICT;
CREATE INDEX packets_open ON packets (status, id) WHERE status < 3;
CREATE INDEX packets_part ON packets (node, boot, seq) WHERE kind = 1;

-- What a node gave up, as it told: packets first … first + count - 1.
CREATE TABLE drops (
    node   TEXT    NOT NULL,
    boot   INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    PRIMARY KEY (node, boot, first)
) STRICT, WITHOUT ROWID;

-- The boots of every node, in the order in which they were last announced (greatest id: current).
CREATE TABLE boots (
    id             INTEGER PRIMARY KEY,
    node           TEXT    NOT NULL,
    boot           INTEGER NOT NULL,
    booted_unix_ns INTEGER,          -- NULL while the clock of the node is not synchronised
    birth          TEXT    NOT NULL, -- JSON, as announced
    UNIQUE (node, boot)
) STRICT;

CREATE TABLE results (
    node TEXT    NOT NULL,
    boot INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    head TEXT    NOT NULL,
    task TEXT    NOT NULL,
    body TEXT    NOT NULL,           -- JSON, as published
    PRIMARY KEY (node, boot, seq, head)
) STRICT, WITHOUT ROWID;

-- The frame that each node's last/{task} topic shows.
CREATE TABLE latest (
    node TEXT    NOT NULL,
    task TEXT    NOT NULL,
    boot INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    head TEXT    NOT NULL,
    PRIMARY KEY (node, task)
) STRICT, WITHOUT ROWID;

-- Frames that cannot be decoded; they are not tried again.
CREATE TABLE failures (
    node   TEXT    NOT NULL,
    boot   INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    PRIMARY KEY (node, boot, seq)
) STRICT, WITHOUT ROWID;

-- Messages that were not packets, by reason.
CREATE TABLE rejects (
    reason TEXT    PRIMARY KEY,
    count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
