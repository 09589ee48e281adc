SELECT DISTINCT 'view ' || i.identity
FROM pg_depend AS d
INNER JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
CROSS JOIN LATERAL pg_identify_object('pg_class'::regclass, r.ev_class, 0) AS i
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (
    'llm.sessions'::regclass, 'llm.session_logs'::regclass, 'llm.sessions_default'::regclass,
    'llm.session_logs_default'::regclass
)
