-- Studies, what was received of them, and the work to be done. Times are seconds since 1970, UTC.
CREATE TABLE studies (
    study_instance_uid TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'complete', 'kept', 'queued')),
    -- Sets of instances that were closed so far.
    version INTEGER NOT NULL DEFAULT 0,
    -- Instances of the largest version.
    most_instances INTEGER NOT NULL DEFAULT 0,
    description TEXT,
    changed_s INTEGER NOT NULL
) STRICT;

CREATE INDEX studies_by_state ON studies (state, changed_s);

CREATE TABLE series (
    study_instance_uid TEXT NOT NULL REFERENCES studies ON DELETE CASCADE,
    series_instance_uid TEXT NOT NULL,
    modality TEXT,
    body_part TEXT,
    description TEXT,
    slice_thickness_mm REAL,
    PRIMARY KEY (study_instance_uid, series_instance_uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
    sop_instance_uid TEXT PRIMARY KEY,
    study_instance_uid TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    -- Calling AE title; none over HTTP.
    sender TEXT,
    address TEXT NOT NULL,
    -- The first version of the study that has it; none while the study is open.
    version INTEGER,
    FOREIGN KEY (study_instance_uid, series_instance_uid) REFERENCES series ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX instances_of_study ON instances (study_instance_uid, series_instance_uid);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    study_instance_uid TEXT NOT NULL REFERENCES studies ON DELETE CASCADE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'dead', 'superseded')),
    rule TEXT NOT NULL,
    -- JSON array of names.
    models TEXT NOT NULL,
    priority INTEGER NOT NULL,
    off_peak INTEGER NOT NULL,
    ready_by_s INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    enqueued_s INTEGER NOT NULL,
    not_before_s INTEGER NOT NULL,
    started_s INTEGER,
    ended_s INTEGER,
    reason_code TEXT,
    reason TEXT,
    run_id TEXT,
    UNIQUE (study_instance_uid, version)
) STRICT;

CREATE INDEX jobs_by_rank ON jobs (state, priority DESC, enqueued_s, id);

CREATE INDEX jobs_by_ready ON jobs (ready_by_s) WHERE state = 'waiting' AND ready_by_s IS NOT NULL;
