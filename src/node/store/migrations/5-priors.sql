-- Earlier studies that are fetched for a study. Of the patient nothing stands here: it is read from a file when it is needed.
CREATE TABLE prior_requests (
    study_instance_uid TEXT PRIMARY KEY REFERENCES studies ON DELETE CASCADE,
    -- Of the study, when it was asked for.
    version INTEGER NOT NULL,
    -- How many the rule asks for.
    wanted INTEGER NOT NULL,
    -- 'chosen': the peer was asked, and what is fetched stands in `priors`.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'chosen', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_s INTEGER NOT NULL,
    reason_code TEXT,
    reason TEXT,
    changed_s INTEGER NOT NULL
) STRICT;

CREATE INDEX prior_requests_by_time ON prior_requests (state, next_s);

CREATE TABLE priors (
    study_instance_uid TEXT PRIMARY KEY,
    -- None once that study was removed.
    asked_for TEXT REFERENCES studies ON DELETE SET NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'fetched', 'failed')),
    changed_s INTEGER NOT NULL
) STRICT;

CREATE INDEX priors_by_study ON priors (asked_for);
