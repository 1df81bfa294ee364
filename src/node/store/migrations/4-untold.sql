-- Instances of which the decision log does not tell yet: written with their rows, removed once it does.
CREATE TABLE untold (
    sop_instance_uid TEXT PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    -- The version that the instance makes of a study that had been complete before.
    reopens INTEGER
) STRICT, WITHOUT ROWID;
