-- What columns' defaults and CHECKs refer to. Every other function is made again when its text changes: views/.
-- RFC 9562, section 5.7: 48 bits of Unix milliseconds, then version, variant and random bits. A version 4 UUID
-- becomes a version 7 by writing the time over its head and two bits of its version. PostgreSQL 18 has uuidv7()
-- built in; 15 to 17 do not, and one implementation for all keeps every server's catalog the same.
CREATE FUNCTION llm.uuidv7(at timestamptz DEFAULT clock_timestamp())
RETURNS uuid
LANGUAGE sql
VOLATILE STRICT PARALLEL SAFE
RETURN encode(
    set_bit(
        set_bit(
            overlay(
                uuid_send(gen_random_uuid()),
                substring(int8send(floor(extract(EPOCH FROM at) * 1000)::bigint) FROM 3),
                1,
                6
            ), 52, 1
        ), 53, 1
    ), 'hex'
)::uuid;
COMMENT ON FUNCTION llm.uuidv7(timestamptz) IS 'A new UUIDv7 (RFC 9562, section 5.7) carrying the given time to the '
    'millisecond. For a session that began in the past pass its start_time, so that it is stored in its own month';

CREATE FUNCTION llm.uuidv7_floor(at timestamptz)
RETURNS uuid
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN (encode(substring(int8send(floor(extract(EPOCH FROM at) * 1000)::bigint) FROM 3), 'hex')
    || '00000000000000000000')::uuid;
COMMENT ON FUNCTION llm.uuidv7_floor(timestamptz) IS 'The lowest UUID of the given millisecond: every UUIDv7 made '
    'at or after that time is greater, every earlier one is less. Partition bounds, and filters that skip partitions';

CREATE FUNCTION llm.is_uuidv7(id uuid)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN get_byte(uuid_send(id), 6) >> 4 = 7 AND get_byte(uuid_send(id), 8) >> 6 = 2;
COMMENT ON FUNCTION llm.is_uuidv7(uuid) IS 'Whether a UUID has version 7 and the RFC 9562 variant';

-- Asked of two paths of every log, so it has to be quick: one expression with {1,61} takes twenty times as long. Not
-- STRICT, though NULL is answered by NULL, as llm.is_name() below.
CREATE FUNCTION llm.is_s3_uri(path text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN path LIKE 's3://%/_%' AND split_part(path, '/', 3) ~ '^[a-z0-9][a-z0-9.-]+[a-z0-9]$'
    AND octet_length(split_part(path, '/', 3)) <= 63;
COMMENT ON FUNCTION llm.is_s3_uri(text) IS 'Whether a path is s3://bucket/key, the bucket named as Amazon S3 allows';

CREATE FUNCTION llm.is_variable_list(variables text [])
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT count(*) = count(*) FILTER (WHERE item ~ '^\{[^{}[:space:]]+\}$') FROM unnest(variables) AS item);
COMMENT ON FUNCTION llm.is_variable_list(text []) IS 'Whether every item is a {name}: braces around one name without '
    'spaces or braces. An empty list is one too';

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

-- Who may call what. PUBLIC may call what is IMMUTABLE in schema llm, as the CHECKs' functions are, and what is a
-- column's default: they work something out from their arguments and read no table. Every other routine says REVOKE ALL
-- ... FROM public where it is made, and then whom it is for.
GRANT EXECUTE ON FUNCTION llm.uuidv7(timestamptz) TO public;
GRANT EXECUTE ON FUNCTION llm.uuidv7_floor(timestamptz) TO public;
GRANT EXECUTE ON FUNCTION llm.is_uuidv7(uuid) TO public;
GRANT EXECUTE ON FUNCTION llm.is_s3_uri(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_variable_list(text []) TO public;
GRANT EXECUTE ON FUNCTION llm.blank_characters() TO public;
GRANT EXECUTE ON FUNCTION llm.as_name(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_name(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_email(text) TO public;
GRANT EXECUTE ON FUNCTION llm.capitals_are_ascii(text) TO public;
