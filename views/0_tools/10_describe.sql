-- A view's column is described where it comes from, so that a sentence stands in one place. A view's file calls this
-- right after it makes the view, and then says itself what is special about it: what the columns are told here depends
-- on nothing but the sources, also where the view was there before.
CREATE OR REPLACE PROCEDURE ops.describe(described regclass, VARIADIC sources regclass [])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named record;
    useless regclass [] := sources;
BEGIN
    FOR named IN
        SELECT a.attname, s.source, s.comment
        FROM pg_catalog.pg_attribute AS a
        LEFT JOIN LATERAL (
            SELECT o.source, col_description(o.source, c.attnum) AS comment
            FROM unnest(sources) WITH ORDINALITY AS o (source, place)
            INNER JOIN pg_catalog.pg_attribute AS c ON o.source = c.attrelid AND a.attname = c.attname
            WHERE col_description(o.source, c.attnum) IS NOT NULL
            ORDER BY o.place
            LIMIT 1
        ) AS s ON true
        WHERE a.attrelid = described AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described, named.attname, named.comment);
        useless := array_remove(useless, named.source);
    END LOOP;
    IF cardinality(useless) > 0 THEN
        RAISE EXCEPTION '% describes no column of %', useless[1], described
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Leave it out, or name it before the other sources that have the same columns.';
    END IF;
END
$$;
COMMENT ON PROCEDURE ops.describe(regclass, regclass []) IS 'Gives each column of a view the comment of the column of '
    'that name in the first of the sources that has one; takes its comment away where none has';
REVOKE ALL ON PROCEDURE ops.describe(regclass, regclass []) FROM public;
