-- needs: 0030.audit

-- Erasure: what a person is called is looked for in every text of ours, and replaced. A name is written in several
-- ways, so each letter is a small regular expression: composed or not (NFC, NFD), percent-encoded as in a URL, escaped
-- as in JSON, a quote doubled as in CSV.
CREATE OR REPLACE FUNCTION ops.spelled(word text)
RETURNS text
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg(CASE
        WHEN l.letter ~ '^[A-Za-z0-9]$' THEN l.letter
        WHEN l.letter ~ ('^[' || llm.blank_characters() || ']$') THEN '(?:[[:space:]._+-]|%20)+'
        ELSE '(?:' || (
            SELECT string_agg(DISTINCT e.encoded, '|')
            FROM (VALUES (l.letter), (normalize(l.letter, nfd))) AS f (form)
            CROSS JOIN LATERAL (
                SELECT
                    string_agg(
                        CASE WHEN s.c ~ '[!-/:-@[-`{-~]' THEN '\' ELSE '' END || s.c, '' ORDER BY s.place
                    ) AS literal,
                    string_agg(CASE
                        WHEN s.c = '"' THEN '(?:""|\\")'
                        WHEN s.c ~ '[A-Za-z0-9]' THEN s.c
                        WHEN ascii(s.c) < 128 THEN '\\?\' || s.c
                        WHEN ascii(s.c) < 65536 THEN '\\u' || lpad(to_hex(ascii(s.c)), 4, '0')
                        ELSE '\\u' || to_hex(55296 + (ascii(s.c) - 65536) / 1024)
                            || '\\u' || to_hex(56320 + (ascii(s.c) - 65536) % 1024)
                    END, '' ORDER BY s.place) AS in_json
                FROM string_to_table(f.form, NULL) WITH ORDINALITY AS s (c, place)
            ) AS p
            CROSS JOIN LATERAL (
                VALUES
                (p.literal),
                (p.in_json),
                (regexp_replace(encode(convert_to(f.form, 'UTF8'), 'hex'), '(..)', '%\1', 'g'))
            ) AS e (encoded)
        ) || ')'
    END, '' ORDER BY l.place), '')
    FROM string_to_table(normalize(word), NULL) WITH ORDINALITY AS l (letter, place)
);
COMMENT ON FUNCTION ops.spelled(text) IS 'A regular expression for a word in every way that it is written: composed or '
    'not, percent-encoded, escaped as in JSON or CSV; a blank within it is any blanks, dots, hyphens or underscores';
REVOKE ALL ON FUNCTION ops.spelled(text) FROM public;

-- A letter or digit before or behind makes it another word: "Kim" is not in "Kimchi". Korean puts particles right
-- behind a name, so a Hangul syllable there does not; one before a name does. "\nKim" and "%2FKim" are words in JSON
-- and in a URL. A name within an e-mail address is no name, but the address of anybody.
CREATE OR REPLACE FUNCTION ops.mention_pattern(words text [], spared text [])
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(
        '(?:(?<![A-Za-z0-9\u00AA\u00B5\u00BA\u00C0-\u1FFF' || CASE WHEN w.word ~ '^[가-힣]' THEN '가-힣' ELSE '' END || '])'
        '|(?<=\\[bfnrt]|%[0-9a-f]{2}|\\u[0-9a-f]{4}))'
        || coalesce((
            SELECT string_agg(DISTINCT CASE
                WHEN p.place = 1 THEN '(?!' || w.spelled || ops.spelled(substr(s.longer, w.size + 1)) || ')'
                ELSE '(?:(?<!' || ops.spelled(left(s.longer, p.place - 1)) || ')'
                    '|(?!' || w.spelled || ops.spelled(substr(s.longer, p.place + w.size)) || '))'
            END, '')
            FROM unnest(spared) AS s (longer)
            CROSS JOIN LATERAL generate_series(1, char_length(s.longer) - w.size + 1) AS p (place)
            WHERE lower(substr(s.longer, p.place, w.size)) = lower(w.word)
        ), '')
        || CASE WHEN w.word LIKE '%@%' THEN '' ELSE '(?<![A-Za-z0-9._%+-]@[A-Za-z0-9.-]*)' END
        || w.spelled || '(?![A-Za-z0-9\u00AA\u00B5\u00BA\u00C0-\u1FFF])'
        || CASE WHEN w.word LIKE '%@%' THEN '' ELSE '(?![A-Za-z0-9._%+-]*@[A-Za-z0-9])' END, '|'
    )
    FROM (
        SELECT DISTINCT normalize(u) AS word, char_length(normalize(u)) AS size, ops.spelled(u) AS spelled
        FROM unnest(words) AS u
        WHERE u <> ''
    ) AS w
);
COMMENT ON FUNCTION ops.mention_pattern(text [], text []) IS 'A regular expression for any of these words as a whole '
    'word, whatever its case, but not where it stands within one of those that are spared, or within an e-mail address '
    'if it is none itself; NULL = no words';
REVOKE ALL ON FUNCTION ops.mention_pattern(text [], text []) FROM public;

-- A tenth of the time: of millions of logs hardly one has these letters in a row.
CREATE OR REPLACE FUNCTION ops.letters_pattern(words text [])
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(ops.spelled(u), '|') FROM unnest(words) AS u WHERE u <> '');
COMMENT ON FUNCTION ops.letters_pattern(text []) IS 'A regular expression that matches wherever ops.mention_pattern() '
    'does, and elsewhere too: the letters alone; NULL = no words';
REVOKE ALL ON FUNCTION ops.letters_pattern(text []) FROM public;

-- One name for what a text can be in.
CREATE OR REPLACE FUNCTION ops.erased(given text, pattern text, stand_in text)
RETURNS text
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(given, pattern, stand_in, 'gi');
COMMENT ON FUNCTION ops.erased(text, text, text) IS 'A text with the stand-in wherever the pattern matches';
REVOKE ALL ON FUNCTION ops.erased(text, text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.erased(given text [], pattern text, stand_in text)
RETURNS text []
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN array(
    SELECT ops.erased(u.item, pattern, stand_in) FROM unnest(given) WITH ORDINALITY AS u (item, place) ORDER BY u.place
);
COMMENT ON FUNCTION ops.erased(text [], text, text) IS 'The same in every item of an array';
REVOKE ALL ON FUNCTION ops.erased(text [], text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.erased(given jsonb, pattern text, stand_in text)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE jsonb_typeof(given)
        WHEN 'string' THEN to_jsonb(ops.erased(given #>> '{}', pattern, stand_in))
        WHEN 'array' THEN (
            SELECT coalesce(jsonb_agg(ops.erased(a.item, pattern, stand_in) ORDER BY a.place), '[]')
            FROM jsonb_array_elements(given) WITH ORDINALITY AS a (item, place)
        )
        WHEN 'object' THEN (
            SELECT coalesce(jsonb_object_agg(o.key, ops.erased(o.value, pattern, stand_in)), '{}')
            FROM jsonb_each(given) AS o
        )
        ELSE given
    END;
END
$$;
COMMENT ON FUNCTION ops.erased(jsonb, text, text) IS 'The same in every string of a JSON value; keys stay as they are';
REVOKE ALL ON FUNCTION ops.erased(jsonb, text, text) FROM public;

-- The audit comes last: what is done to the others is written there.
CREATE OR REPLACE FUNCTION ops.text_columns()
RETURNS TABLE (relation regclass, column_name text, column_type text, of_user text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        c.oid::regclass AS relation,
        a.attname::text AS column_name,
        format_type(a.atttypid, a.atttypmod) AS column_type,
        CASE format('%s.%s', n.nspname, c.relname)
            WHEN 'llm.users' THEN 't.user_id = $3'
            WHEN 'llm.session_logs'
                THEN 't.session_id IN (SELECT s.session_id FROM llm.sessions AS s WHERE s.user_id = $3)'
            WHEN 'audit.changes'
                THEN '(t.table_name, t.row_key) IN (SELECT r.table_name, r.row_key FROM ops.audited_rows_of($3) AS r)'
            ELSE (
                SELECT string_agg(format('t.%I = $3', f.attname), ' OR ')
                FROM pg_catalog.pg_constraint AS k
                INNER JOIN pg_catalog.pg_attribute AS f ON k.conrelid = f.attrelid AND k.conkey[1] = f.attnum
                WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid = 'llm.users'::regclass
            )
        END AS of_user
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
    INNER JOIN pg_catalog.pg_attribute AS a ON c.oid = a.attrelid
    INNER JOIN pg_catalog.pg_type AS t ON a.atttypid = t.oid
    LEFT JOIN pg_catalog.pg_type AS item ON t.typelem = item.oid AND t.typcategory = 'A'
    WHERE ops.is_ours(n.oid) AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        AND (coalesce(item.typcategory, t.typcategory) = 'S' OR a.atttypid = 'jsonb'::regtype)
        -- What repeats a vocabulary's code is no text of a person's.
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS k
            WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = any(k.conkey)
        )
    ORDER BY n.nspname = 'audit', c.oid, a.attnum;
END;
COMMENT ON FUNCTION ops.text_columns() IS 'Every column of our tables in which a text can be (text, its arrays and '
    'jsonb), with its type, and as SQL which rows t are those of the user $3: NULL = of no user. A partitioned table '
    'stands for its partitions';
REVOKE ALL ON FUNCTION ops.text_columns() FROM public;

CREATE OR REPLACE FUNCTION ops.find_mentions(words text [])
RETURNS TABLE (object text, column_name text, found_in jsonb)
LANGUAGE plpgsql
SECURITY DEFINER
-- What is told has names as they are.
SET quote_all_identifiers = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pattern constant text := ops.mention_pattern(words, '{}');
    place record;
BEGIN
    FOR place IN SELECT x.relation, x.column_name FROM ops.text_columns() AS x WHERE pattern IS NOT NULL LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, %L::text, to_jsonb(t) FROM %1$s AS t '
            'WHERE t.%2$I::text ~* $2 AND ops.erased(t.%2$I, $1, '''') IS DISTINCT FROM t.%2$I',
            place.relation, place.column_name
        ) USING pattern, ops.letters_pattern(words);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.find_mentions(text []) IS '언급 검색: every row of ours that has one of these words in a text, as '
    'a whole word and whatever its case: table, column, and the row. Reads everything, with its owner''s rights';
REVOKE ALL ON FUNCTION ops.find_mentions(text []) FROM public;

CREATE OR REPLACE FUNCTION ops.audited_rows_of(person bigint)
RETURNS TABLE (table_name text, row_key text [])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reference record;
BEGIN
    RETURN QUERY SELECT 'llm.users', ARRAY[person::text];
    -- What the erasure has changed so far, whoever's row it is, was changed because it names the person.
    RETURN QUERY SELECT c.table_name, c.row_key FROM audit.changes AS c
    WHERE c.transaction_id = pg_current_xact_id()::text::bigint;
    FOR reference IN
        SELECT
            k.conrelid::regclass::text AS referring,
            f.attname::text AS column_name,
            (
                SELECT string_agg(format('t.%I::text', a.attname), ', ' ORDER BY i.place)
                FROM pg_catalog.pg_index AS p
                CROSS JOIN LATERAL unnest(p.indkey) WITH ORDINALITY AS i (attnum, place)
                INNER JOIN pg_catalog.pg_attribute AS a ON p.indrelid = a.attrelid AND i.attnum = a.attnum
                WHERE p.indrelid = k.conrelid AND p.indisprimary
            ) AS row_key
        FROM pg_catalog.pg_constraint AS k
        INNER JOIN pg_catalog.pg_attribute AS f ON k.conrelid = f.attrelid AND k.conkey[1] = f.attnum
        WHERE k.contype = 'f' AND k.confrelid = 'llm.users'::regclass AND EXISTS (
            SELECT FROM pg_catalog.pg_trigger AS g
            WHERE g.tgrelid = k.conrelid AND g.tgfoid = 'audit.record()'::regprocedure
        )
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, ARRAY[%s] FROM %s AS t WHERE t.%I = $1',
            reference.referring, reference.row_key, reference.referring, reference.column_name
        ) USING person;
        -- Rows that are no more, or were the person's once.
        RETURN QUERY SELECT c.table_name, c.row_key FROM audit.changes AS c
        WHERE c.table_name = reference.referring
            AND person::text IN (c.old_values ->> reference.column_name, c.new_values ->> reference.column_name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.audited_rows_of(bigint) IS 'The rows whose history is a user''s, by table and key as in '
    'audit.changes: the user, what the user has created or manages, and what this transaction changed';
REVOKE ALL ON FUNCTION ops.audited_rows_of(bigint) FROM public;

CREATE OR REPLACE FUNCTION ops.erase_person(person bigint, also text [])
RETURNS TABLE (object text, column_name text, rows bigint, action text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stand_in constant text := 'erased-' || person;
    stand_in_email constant text := stand_in || '@erased.invalid';
    person_key constant text [] := ARRAY[person::text];
    -- Of what is ours, a name may be a part.
    spared constant text [] := ARRAY[stand_in, 's3://'];
    also_pattern constant text := ops.mention_pattern(also, spared);
    other bigint;
    names text [];
    emails text [];
    others text [];
    step record;
    place record;
    of_user text;
    hits bigint;
    done jsonb := '[]';
BEGIN
    PERFORM FROM llm.users AS u WHERE u.user_id = person FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no user %', coalesce(person::text, 'NULL')
            USING ERRCODE = 'no_data_found', HINT = 'SELECT user_id FROM llm.users WHERE user_email = ... finds it.';
    END IF;
    IF EXISTS (SELECT 1 FROM llm.sessions AS s WHERE s.user_id = person AND s.end_time IS NULL) THEN
        RAISE EXCEPTION 'user % is not erased: sessions of this user are running', person
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format(
                'UPDATE llm.sessions SET status = ''aborted'', end_time = greatest(start_time, now()) '
                'WHERE user_id = %s AND end_time IS NULL; ends them.', person
            );
    END IF;
    SELECT min(u.user_id) INTO other
    FROM llm.users AS u
    WHERE u.user_id <> person AND (u.user_name ~* also_pattern OR u.user_email ~* also_pattern);
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'a word that is to be replaced everywhere is in the name or the address of user %', other
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give longer words, which are only this person''s.';
    END IF;

    -- What the person is called, and was called before.
    SELECT
        coalesce(array_agg(DISTINCT v.user_name) FILTER (WHERE v.user_name <> stand_in), '{}'),
        coalesce(array_agg(DISTINCT lower(v.user_email)) FILTER (WHERE v.user_email <> stand_in_email), '{}')
    INTO names, emails
    FROM (
        SELECT u.user_name, u.user_email FROM llm.users AS u WHERE u.user_id = person
        UNION ALL
        SELECT o.value ->> 'user_name', o.value ->> 'user_email'
        FROM audit.changes AS c
        CROSS JOIN LATERAL (VALUES (c.old_values), (c.new_values)) AS o (value)
        WHERE c.table_name = 'llm.users' AND c.row_key = person_key
    ) AS v;
    -- Addresses of others are theirs, also one that was this person's before, or has this person's within it.
    others := ARRAY(
        SELECT u.user_email FROM llm.users AS u WHERE u.user_id <> person
        UNION
        SELECT o.value ->> 'user_email'
        FROM audit.changes AS c
        CROSS JOIN LATERAL (VALUES (c.old_values), (c.new_values)) AS o (value)
        WHERE c.table_name = 'llm.users' AND c.row_key <> person_key AND lower(o.value ->> 'user_email') <> all(emails)
    );

    PERFORM set_config('audit.may_change', 'on', true);
    SELECT coalesce(jsonb_agg(to_jsonb(f) || '{"rows": 1}'), '[]') INTO done
    FROM llm.users AS u
    CROSS JOIN LATERAL (
        VALUES ('llm.users', 'user_name', 'name replaced'), ('llm.users', 'user_email', 'address replaced')
    ) AS f (object, column_name, action)
    WHERE u.user_id = person
        AND CASE f.column_name WHEN 'user_name' THEN u.user_name <> stand_in ELSE u.user_email <> stand_in_email END;
    UPDATE llm.users AS u SET user_name = stand_in, user_email = stand_in_email
    WHERE u.user_id = person AND (u.user_name, u.user_email) <> (stand_in, stand_in_email);

    FOR step IN
        SELECT s.kind, s.pattern, s.stand_in, ops.letters_pattern(s.words) AS letters
        FROM (VALUES
            (1, 'address', emails, ops.mention_pattern(emails, others || stand_in_email), stand_in_email),
            (2, 'word', also, also_pattern, stand_in),
            (3, 'name', names, ops.mention_pattern(names, spared), stand_in)
        ) AS s (number, kind, words, pattern, stand_in)
        WHERE s.pattern IS NOT NULL
        ORDER BY s.number
    LOOP
        FOR place IN
            SELECT x.* FROM ops.text_columns() AS x
            -- What is no text of people's may look like a name all the same.
            WHERE step.kind = 'address' OR (x.relation::text, x.column_name) NOT IN (
                ('llm.prompt_templates_base', 'version'),
                ('audit.changes', 'table_name'), ('audit.changes', 'row_key'), ('audit.changes', 'operation')
            )
        LOOP
            -- A name is anybody's. In a row that is the person's, or has the person's address, it is this one's.
            of_user := CASE step.kind
                WHEN 'name' THEN format('(%s OR position($4 IN t::text) > 0)', coalesce(place.of_user, 'false'))
                ELSE 'true'
            END;
            EXECUTE format(
                -- The cast cuts off what is too long for the column.
                'UPDATE %s AS t SET %I = ops.erased(t.%2$I, $1, $2)::%s '
                'WHERE t.%2$I::text ~* $5 AND ops.erased(t.%2$I, $1, $2) IS DISTINCT FROM t.%2$I AND %4$s',
                place.relation, place.column_name, place.column_type, of_user
            ) USING step.pattern, step.stand_in, person, stand_in || '@', step.letters;
            GET DIAGNOSTICS hits = ROW_COUNT;
            done := done || jsonb_build_object(
                'object', place.relation, 'column_name', place.column_name, 'rows', hits,
                'action', step.kind || ' replaced'
            );
            IF step.kind = 'name' THEN
                EXECUTE format(
                    'SELECT count(*) FROM %s AS t '
                    'WHERE t.%I::text ~* $3 AND ops.erased(t.%2$I, $1, $2) IS DISTINCT FROM t.%2$I',
                    place.relation, place.column_name
                ) INTO hits USING step.pattern, step.stand_in, step.letters;
                done := done || jsonb_build_object(
                    'object', place.relation, 'column_name', place.column_name, 'rows', hits,
                    'action', 'name left: these rows may mean somebody else'
                );
            END IF;
        END LOOP;
    END LOOP;
    PERFORM set_config('audit.may_change', '', true);

    done := jsonb_path_query_array(done, '$[*] ? (@.rows > 0)');
    IF done <> '[]' THEN
        INSERT INTO audit.changes (table_name, row_key, operation, new_values)
        VALUES ('llm.users', person_key, 'ERASE', jsonb_build_object('done', done));
    END IF;
    RETURN QUERY
    SELECT d.object, d.column_name, sum(d.rows)::bigint, d.action
    FROM jsonb_to_recordset(done) AS d (object text, column_name text, rows bigint, action text)
    GROUP BY d.object, d.column_name, d.action
    ORDER BY d.action DESC, d.object, d.column_name;
END
$$;
COMMENT ON FUNCTION ops.erase_person(bigint, text []) IS 'One attempt of llm.erase_user()';
REVOKE ALL ON FUNCTION ops.erase_person(bigint, text []) FROM public;

CREATE OR REPLACE FUNCTION llm.erase_user(user_id bigint, also text [] DEFAULT '{}')
RETURNS TABLE (object text, column_name text, rows bigint, action text)
LANGUAGE plpgsql
SECURITY DEFINER
SET quote_all_identifiers = off
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    patience constant interval := '60 seconds';
    give_up_at constant timestamptz := clock_timestamp() + patience;
BEGIN
    -- It comes to rows in an order that is not the writers'. So it waits for none of them for long, takes everything
    -- back, which lets go of all locks, and begins again.
    LOOP
        BEGIN
            RETURN QUERY SELECT e.* FROM ops.erase_person(erase_user.user_id, also) AS e;
            RETURN;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF clock_timestamp() > give_up_at THEN
                    RAISE EXCEPTION 'could not lock all rows that name user % within %', erase_user.user_id, patience
                        USING ERRCODE = 'lock_not_available',
                            HINT = 'A long transaction holds one, see pg_stat_activity. Nothing changed; call again.';
                END IF;
        END;
        PERFORM pg_sleep(0.05 + random() * 0.2);
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.erase_user(bigint, text []) IS '개인정보 삭제: replaces who a user is, by erased-42 and '
    'erased-42@erased.invalid, wherever it stands in a table of ours: the e-mail addresses anywhere, the names in the '
    'user''s own rows and where an address is beside them, and the words given as also anywhere. Returns what was done '
    'by table and column, and where names are left. No number of any report changes. no_data_found for an unknown '
    'user, object_not_in_prerequisite_state while sessions of the user run, lock_not_available after 60 seconds';
REVOKE ALL ON FUNCTION llm.erase_user(bigint, text []) FROM public;
