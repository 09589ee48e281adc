-- What no definition shows: an index or constraint that is there and does not hold, and a partition without what its
-- parent has. Partitions of every month are asked.
WITH relations AS (
    SELECT c.oid, c.relispartition, c.oid::regclass::text AS name, h.inhparent AS parent
    FROM pg_class AS c
    INNER JOIN pg_namespace AS s ON s.oid = c.relnamespace
    LEFT JOIN pg_inherits AS h ON h.inhrelid = c.oid AND c.relispartition
    WHERE s.nspname = any(%(schemas)s) AND c.relkind IN ('r', 'p', 'm')
)

SELECT 'index', i.indexrelid::regclass::text, r.name, 'INVALID: drop it and build it again, if no build is running'
FROM pg_index AS i
INNER JOIN relations AS r ON r.oid = i.indrelid
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)

UNION ALL
SELECT 'constraint', r.name || '.' || n.conname, r.name, 'not validated: its old rows were never checked'
FROM pg_constraint AS n
INNER JOIN relations AS r ON r.oid = n.conrelid
-- A partition's copy is as valid as its parent's.
WHERE NOT n.convalidated AND n.conparentid = 0 AND n.coninhcount = 0

UNION ALL
SELECT 'table', r.name, '', 'lacks the index ' || i.indexrelid::regclass::text || ' of ' || r.parent::regclass::text
FROM relations AS r
INNER JOIN pg_index AS i ON i.indrelid = r.parent
WHERE NOT EXISTS (
    SELECT FROM pg_inherits AS h
    INNER JOIN pg_index AS own ON own.indexrelid = h.inhrelid
    WHERE h.inhparent = i.indexrelid AND own.indrelid = r.oid
)

UNION ALL
SELECT 'table', r.name, '', 'does not fire the trigger ' || t.tgname || ' of ' || r.parent::regclass::text
FROM relations AS r
INNER JOIN pg_trigger AS t ON t.tgrelid = r.parent AND NOT t.tgisinternal AND t.tgtype & 1 = 1
WHERE NOT EXISTS (
    SELECT FROM pg_trigger AS own
    WHERE own.tgrelid = r.oid AND own.tgparentid = t.oid AND own.tgenabled = t.tgenabled
)
