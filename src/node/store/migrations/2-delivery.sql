-- What a job wrote, and what became of it at each destination.
CREATE TABLE outputs (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    -- Relative to the node's folder.
    path TEXT NOT NULL,
    -- Both none for what is no DICOM object.
    sop_class_uid TEXT,
    sop_instance_uid TEXT,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (job, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'committed', 'failed', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_s INTEGER NOT NULL,
    -- Of the storage commitment that was asked for (PS3.4 J).
    transaction_uid TEXT UNIQUE,
    reason_code TEXT,
    reason TEXT,
    changed_s INTEGER NOT NULL,
    UNIQUE (job, destination)
) STRICT;

CREATE INDEX deliveries_by_time ON deliveries (state, next_s);
