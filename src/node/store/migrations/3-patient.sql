-- Keyed hash of the Patient ID (0010,0020), for audit messages; none where an object has none, and before this version.
ALTER TABLE studies ADD COLUMN patient TEXT;
