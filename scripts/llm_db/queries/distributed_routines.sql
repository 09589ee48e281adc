SELECT i.type || ' ' || i.identity
FROM pg_catalog.pg_dist_object AS d
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
WHERE d.classid = 'pg_proc'::regclass
