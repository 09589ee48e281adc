-- depends: 0008.months

-- What a name is. Neither the server's locale nor ICU has a say in it, so that no two servers disagree, nor one after a
-- restore on another: regular expressions under COLLATE "C" compare code points.
CREATE FUNCTION llm.blank_characters()
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN '\u0001-\u0020\u007F-\u00A0\u00AD\u034F\u061C\u115F\u1160\u1680\u17B4\u17B5\u180B-\u180F\u2000-\u200F'
    '\u2028-\u202F\u205F-\u206F\u2800\u3000\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB\U0001BCA0-\U0001BCA3'
    '\U0001D173-\U0001D17A\U000E0000-\U000E0FFF';
COMMENT ON FUNCTION llm.blank_characters() IS 'The characters that nobody sees: Unicode''s White_Space, controls and '
    'Default_Ignorable_Code_Point, and the braille blank. For use between the brackets of a regular expression';

CREATE FUNCTION llm.as_name(given text)
RETURNS text
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
-- A variation selector, or a tag of a flag, is a part of the character before it.
RETURN normalize(
    regexp_replace(
        regexp_replace(given COLLATE "C", '^[' || llm.blank_characters() || ']+', ''),
        '(?![\u180B-\u180D\u180F\uFE00-\uFE0F\U000E0020-\U000E007F\U000E0100-\U000E01EF])'
        '[' || llm.blank_characters() || ']+$',
        ''
    )
);
COMMENT ON FUNCTION llm.as_name(text) IS 'A text as a name: without surrounding blanks, in Unicode''s composed form '
    '(NFC)';

-- Not STRICT, though NULL is answered by NULL: else it could not become a part of the query, and would cost ten times
-- as much.
CREATE FUNCTION llm.is_name(given text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN given <> '' AND given COLLATE "C" = llm.as_name(given)
    AND given COLLATE "C" !~ '[\u0001-\u001F\u007F-\u009F\u200B\u2028-\u202E\u2060-\u2069\uFEFF\uFFF9-\uFFFB]';
COMMENT ON FUNCTION llm.is_name(text) IS 'Whether a text is a name: not blank, without surrounding blanks, without '
    'control characters and such as nobody sees within a word, in Unicode''s composed form (NFC)';

CREATE FUNCTION llm.is_email(given text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN given COLLATE "C" = normalize(given)
    AND given COLLATE "C" ~ ('^[^@' || llm.blank_characters() || ']+@[^@' || llm.blank_characters() || ']+$');
COMMENT ON FUNCTION llm.is_email(text) IS 'Whether a text has one @ with something before and after it, no blanks '
    'anywhere, and is in Unicode''s composed form (NFC)';

-- Which capitals lower() knows depends on the locale: with C, those of ASCII only. These are all others of Unicode.
CREATE FUNCTION llm.capitals_are_ascii(given text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN given COLLATE "C" !~ '['
    'À-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮİĲĴĶĹĻĽĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽƁƂƄƆƇƉ-ƋƎ-ƑƓƔƖ-ƘƜƝƟƠƢƤƦƧƩƬƮƯƱ-ƳƵƷƸƼǄǅǇǈ'
    'ǊǋǍǏǑǓǕǗǙǛǞǠǢǤǦǨǪǬǮǱǲǴǶ-ǸǺǼǾȀȂȄȆȈȊȌȎȐȒȔȖȘȚȜȞȠȢȤȦȨȪȬȮȰȲȺȻȽȾɁɃ-ɆɈɊɌɎͰͲͶͿΆΈ-ΊΌΎΏΑ-ΡΣ-ΫϏϘϚϜϞϠϢϤϦϨϪϬϮϴϷϹϺϽ-ЯѠѢѤѦѨ'
    'ѪѬѮѰѲѴѶѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӁӃӅӇӉӋӍӐӒӔӖӘӚӜӞӠӢӤӦӨӪӬӮӰӲӴӶӸӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱ-Ֆ'
    '\u10A0-\u10C5ჇჍ\u13A0-\u13F5Ᲊ\u1C90-\u1CBA\u1CBD-\u1CBFḀḂḄḆḈḊḌḎḐḒḔḖḘḚḜḞḠḢḤḦḨḪḬḮḰḲḴḶḸḺḼḾṀṂṄṆṈṊṌṎṐṒṔṖṘṚṜṞṠṢṤṦṨ'
    'ṪṬṮṰṲṴṶṸṺṼṾẀẂẄẆẈẊẌẎẐẒẔẞẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸỺỼỾ\u1F08-\u1F0F\u1F18-\u1F1D'
    '\u1F28-\u1F2F\u1F38-\u1F3F\u1F48-\u1F4DὙὛὝὟ\u1F68-\u1F6F\u1F88-\u1F8F\u1F98-\u1F9F\u1FA8-\u1FAF\u1FB8-\u1FBA'
    'ᾼῈῊῌ\u1FD8-\u1FDA\u1FE8-\u1FEAῬῸῺῼℲ\u2160-\u216FↃ\u24B6-\u24CF\u2C00-\u2C2FⱠ\u2C62-\u2C64ⱧⱩⱫ\u2C6D-\u2C70ⱲⱵ'
    '\u2C7E-\u2C80ⲂⲄⲆⲈⲊⲌⲎⲐⲒⲔⲖⲘⲚⲜⲞⲠⲢⲤⲦⲨⲪⲬⲮⲰⲲⲴⲶⲸⲺⲼⲾⳀⳂⳄⳆⳈⳊⳌⳎⳐⳒⳔⳖⳘⳚⳜⳞⳠⳢⳫⳭⳲꙀꙂꙄꙆꙈꙊꙌꙎꙐꙒꙔꙖꙘꙚꙜꙞꙠꙢꙤꙦꙨꙪꙬꚀꚂꚄꚆꚈꚊꚌꚎꚐꚒꚔꚖꚘꚚꜢꜤꜦꜨꜪꜬ'
    'ꜮꜲꜴꜶꜸꜺꜼꜾꝀꝂꝄꝆꝈꝊꝌꝎꝐꝒꝔꝖꝘꝚꝜꝞꝠꝢꝤꝦꝨꝪꝬꝮꝹꝻ\uA77D\uA77EꞀꞂꞄꞆꞋꞍꞐꞒꞖꞘꞚꞜꞞꞠꞢꞤꞦꞨ\uA7AA-\uA7AE\uA7B0-\uA7B4ꞶꞸꞺꞼꞾꟀꟂ'
    '\uA7C4-\uA7C7Ꟊ\uA7CB\uA7CCꟐꟖꟘꟚꟜꟵ\uFF21-\uFF3A\U00010400-\U00010427\U000104B0-\U000104D3\U00010570-\U0001057A'
    '\U0001057C-\U0001058A\U0001058C-\U00010592\U00010594\U00010595\U00010C80-\U00010CB2\U00010D50-\U00010D65'
    '\U000118A0-\U000118BF\U00016E40-\U00016E5F\U0001E900-\U0001E921]';
COMMENT ON FUNCTION llm.capitals_are_ascii(text) IS 'Whether all capital letters of a text are among A to Z, which '
    'lower() knows in every locale';

-- In a row that breaks a rule nothing could be changed any more, not even a last_login. So such rows are looked for
-- before there are rules, by a plain read, and where there are any the migration does nothing but name them.
DO $$
DECLARE
    shown constant integer := 20;
    rule record;
    updates text [];
    mending text [] := '{}';
BEGIN
    FOR rule IN
        SELECT * FROM (VALUES
        ('users', 'user_id', 'user_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('projects', 'project_id', 'project_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('session_types', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('session_types', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('session_statuses', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('session_statuses', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('deployments', 'deployment_id', 'server_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('model_configs', 'config_id', 'config_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('prompt_templates_base', 'template_id', 'template_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('departments', 'department_id', 'department_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('models', 'model_id', 'model_name', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('roles', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('roles', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('model_types', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('model_types', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('environments', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('environments', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('deployment_statuses', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('deployment_statuses', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('learning_types', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('learning_types', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('task_categories', 'code', 'label_ko', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        ('task_categories', 'code', 'label_en', 'llm.is_name(%1$s)', 'llm.as_name(%1$s)'),
        (
            'users', 'user_id', 'user_email', 'llm.is_email(%1$s) AND llm.capitals_are_ascii(%1$s)',
            'lower(llm.as_name(%1$s))'
        ),
        (
            'prompt_templates_base', 'template_id', 'version', '%1$s !~ ''(^|\.)0[0-9]''',
            'regexp_replace(%1$s, ''(^|\.)0+([0-9])'', ''\1\2'', ''g'')'
        )) AS r (in_table, by_key, in_column, claim, mended)
    LOOP
        EXECUTE format(
            'SELECT array_agg(format(%L, CASE WHEN %s THEN quote_literal(b.mended) ELSE ''...'' END, b.key)) FROM ('
            'SELECT %I AS key, %s AS mended FROM llm.%I WHERE NOT (%s) ORDER BY 1) AS b',
            format('UPDATE llm.%I SET %I = %%s WHERE %I = %%L;', rule.in_table, rule.in_column, rule.by_key),
            format(rule.claim, 'b.mended'),
            rule.by_key,
            format(rule.mended, quote_ident(rule.in_column)),
            rule.in_table,
            format(rule.claim, quote_ident(rule.in_column))
        ) INTO updates;
        mending := mending || updates;
    END LOOP;
    IF mending <> '{}' THEN
        RAISE EXCEPTION 'rows whose names, e-mail addresses or versions break the rules of this version: %',
            cardinality(mending)
            USING ERRCODE = 'check_violation',
                DETAIL = 'This migration changed nothing. docs/dba.md says what a name is.',
                HINT = concat_ws(
                    ' ', 'Correct them, for example so, and migrate again:',
                    array_to_string(mending[:shown], ' '),
                    CASE WHEN cardinality(mending) > shown THEN '... The rest is shown then.' END
                );
    END IF;
END
$$;
