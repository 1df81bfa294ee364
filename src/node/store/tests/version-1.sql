-- A database as the first version of its form held it: a study in each state.
INSERT INTO studies VALUES
    ('1.2.1', 'receiving', 0, 0, 'Thorax', 10),
    ('1.2.2', 'complete', 1, 0, NULL, 11),
    ('1.2.3', 'queued', 1, 1, NULL, 12),
    ('1.2.4', 'queued', 1, 1, NULL, 13),
    ('1.2.5', 'kept', 0, 0, NULL, 14);
INSERT INTO series VALUES
    ('1.2.1', '1.2.1.1', 'CT', 'CHEST', 'Lung', 1.0),
    ('1.2.2', '1.2.2.1', 'CT', NULL, NULL, NULL),
    ('1.2.3', '1.2.3.1', 'CT', NULL, NULL, NULL),
    ('1.2.4', '1.2.4.1', 'PT', NULL, NULL, NULL);
INSERT INTO instances VALUES
    ('1.2.1.1.1', '1.2.1', '1.2.1.1', '1.2.840.10008.5.1.4.1.1.2', zeroblob(32), 9, 10, 'CT1', '127.0.0.1', NULL),
    ('1.2.1.1.2', '1.2.1', '1.2.1.1', '1.2.840.10008.5.1.4.1.1.2', zeroblob(32), 9, 10, NULL, '127.0.0.1', NULL),
    ('1.2.2.1.1', '1.2.2', '1.2.2.1', '1.2.840.10008.5.1.4.1.1.2', zeroblob(32), 9, 10, 'CT1', '127.0.0.1', 1),
    ('1.2.3.1.1', '1.2.3', '1.2.3.1', '1.2.840.10008.5.1.4.1.1.2', zeroblob(32), 9, 10, 'CT1', '127.0.0.1', 1),
    ('1.2.4.1.1', '1.2.4', '1.2.4.1', '1.2.840.10008.5.1.4.1.1.128', zeroblob(32), 9, 10, 'CT1', '127.0.0.1', 1);
INSERT INTO jobs VALUES
    (1, '1.2.3', 1, 'waiting', 'chest', '["lung-nodule"]', 5, 0, NULL, 1, 12, 20, 13, 14, 'io', 'the disk failed', NULL),
    (2, '1.2.4', 1, 'dead', 'pet', '[]', 5, 0, NULL, 3, 13, 13, 14, 15, 'not-fdg', 'another tracer', NULL);
