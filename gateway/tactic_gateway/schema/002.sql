-- Results of several models of one head side by side, and what outlives a packet that is deleted:
-- its number stays settled, its account stays exact.

-- priority: 0 … 3, the two lowest bits of a packet's first byte.
-- strikes: how often the worker was lost that had this frame in hand.
ALTER TABLE packets ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
ALTER TABLE packets RENAME COLUMN attempts TO strikes;
UPDATE packets SET strikes = 0,
    priority = (instr('123456789ABCDEF', substr(hex(substr(raw, 1, 1)), 2)) & 3);
CREATE INDEX packets_old ON packets (priority, received_ns) WHERE status > 1;
CREATE INDEX packets_report ON packets (node, boot) WHERE kind = 2;

-- Packets that are stored, were stored, or were given up: first … first + count - 1.
-- The ranges of a boot neither overlap nor touch.
CREATE TABLE settled (
    node  TEXT    NOT NULL,
    boot  INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (node, boot, first)
) STRICT, WITHOUT ROWID;
INSERT INTO settled
    WITH ranges AS (
        SELECT node, boot, pkt AS first, pkt + 1 AS stop FROM packets
        UNION ALL SELECT node, boot, first, first + count FROM drops
    ), begun AS (
        SELECT *, first > ifnull(max(stop) OVER (PARTITION BY node, boot ORDER BY first, stop
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) AS begins FROM ranges
    ), islands AS (
        SELECT *, sum(begins) OVER (PARTITION BY node, boot ORDER BY first, stop
            ROWS UNBOUNDED PRECEDING) AS island FROM begun
    )
    SELECT node, boot, min(first), max(stop) - min(first) FROM islands
        GROUP BY node, boot, island;

-- What was ever stored of a boot, and how much of it was deleted since. Reports are DROP packets;
-- unseen are frames that were deleted before their bundle came.
CREATE TABLE accounts (
    node           TEXT    NOT NULL,
    boot           INTEGER NOT NULL,
    frames         INTEGER NOT NULL DEFAULT 0,
    parts          INTEGER NOT NULL DEFAULT 0,
    reports        INTEGER NOT NULL DEFAULT 0,
    purged_frames  INTEGER NOT NULL DEFAULT 0,
    purged_parts   INTEGER NOT NULL DEFAULT 0,
    purged_reports INTEGER NOT NULL DEFAULT 0,
    purged_unseen  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, boot)
) STRICT, WITHOUT ROWID;
INSERT INTO accounts (node, boot, frames, parts, reports)
    SELECT node, boot, sum(kind = 0), sum(kind = 1), sum(kind = 2) FROM packets GROUP BY node, boot;

-- How many numbers of a boot were ever reported given up, and were not stored.
CREATE TABLE given_up (
    node   TEXT    NOT NULL,
    boot   INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (node, boot, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO given_up SELECT node, boot, reason, sum(count) FROM drops GROUP BY node, boot, reason;

-- What came in on a day (since 1970, UTC), with headers.
CREATE TABLE traffic (
    day      INTEGER NOT NULL,
    node     TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    packets  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (day, node, priority)
) STRICT, WITHOUT ROWID;
INSERT INTO traffic
    SELECT received_ns / 86400000000000 AS day, node, priority, count(*), sum(length(raw))
    FROM packets GROUP BY day, node, priority;

-- The latest ledger of every boot of a node, as its health messages tell it (frames), and what
-- the gateway held of the same outbox at that moment (frames, and numbers given up by reason).
-- outbox: the boot with which the outbox began; 0 for the first one known of a node.
-- serial: rises with every message of a node.
CREATE TABLE ledgers (
    node        TEXT    NOT NULL,
    boot        INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    captured    INTEGER NOT NULL,
    stored      INTEGER NOT NULL,
    pending     INTEGER NOT NULL,
    dropped     TEXT    NOT NULL,    -- JSON, by reason
    waiting     INTEGER,             -- packets in the outbox, drops included
    here        INTEGER NOT NULL,
    gone        TEXT    NOT NULL,    -- JSON, by reason
    outbox      INTEGER NOT NULL,
    serial      INTEGER NOT NULL,
    PRIMARY KEY (node, boot)
) STRICT, WITHOUT ROWID;

-- model: the network of the head, by the first digits of its SHA-256; '' where it is not known.
ALTER TABLE results RENAME TO former;
CREATE TABLE results (
    node        TEXT    NOT NULL,
    boot        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    head        TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    task        TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    body        TEXT    NOT NULL,    -- JSON, as published
    PRIMARY KEY (node, boot, seq, head, model)
) STRICT, WITHOUT ROWID;
INSERT INTO results
    SELECT f.node, f.boot, f.seq, f.head, '', f.task, p.priority, p.received_ns, f.body
    FROM former f JOIN packets p ON p.node = f.node AND p.boot = f.boot AND p.pkt = f.seq;
DROP TABLE former;
CREATE INDEX results_old ON results (priority, received_ns);

ALTER TABLE latest ADD COLUMN model TEXT NOT NULL DEFAULT '';

CREATE INDEX boots_node ON boots (node, id);

-- Facts about the store itself.
CREATE TABLE notes (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO notes VALUES ('id', lower(hex(randomblob(16)))), ('attempts', '0');
