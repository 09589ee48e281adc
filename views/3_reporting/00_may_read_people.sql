-- needs: 0012.user-departments

-- Who a person is: names, e-mail addresses, and texts in which anybody may be named (descriptions and S3 paths). Who
-- reads reports sees them where this says so, and else NULL. It asks for a right to the table itself, so that the
-- owner, llm_people_reader and whoever else may read names there read them here too.
--
-- A report writes `column || (SELECT '' WHERE reporting.may_read_people())`. The subquery is run once a query, before
-- the rows, and what a reader's own function gets to see has passed it. || is strict: a query for one name makes an
-- INNER JOIN of the LEFT JOIN that the name comes from, as it would of the column alone. Of a CASE it would not, and
-- would read all logs.
CREATE OR REPLACE FUNCTION reporting.may_read_people()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
RETURN has_column_privilege('llm.users'::regclass, 'user_name', 'SELECT');
COMMENT ON FUNCTION reporting.may_read_people() IS '개인정보 열람 권한: 묻는 사람에게 이름, 이메일, 설명, S3 경로를 보여 주는지; llm_people_reader에 '
    '속하면 참. 거짓이면 그 값들은 NULL | '
    'May read people: whether names, e-mail addresses, descriptions and S3 paths are shown to who asks; true for '
    'members of llm_people_reader. Where it is false they are NULL';
REVOKE ALL ON FUNCTION reporting.may_read_people() FROM public;
GRANT EXECUTE ON FUNCTION reporting.may_read_people() TO llm_analyst;
