-- The first answer on a frame and the refined one side by side.
-- parts: how many PARTs of the frame a result was made with; 0: the first answer.
ALTER TABLE results RENAME TO former;
CREATE TABLE results (
    node        TEXT    NOT NULL,
    boot        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    head        TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    parts       INTEGER NOT NULL,
    task        TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    body        TEXT    NOT NULL,    -- JSON, as published
    PRIMARY KEY (node, boot, seq, head, model, parts)
) STRICT, WITHOUT ROWID;
INSERT INTO results
    SELECT node, boot, seq, head, model, 0, task, priority, received_ns, body FROM former;
DROP TABLE former;
CREATE INDEX results_old ON results (priority, received_ns);

ALTER TABLE latest ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;
