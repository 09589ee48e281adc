-- sum(bigint) is numeric, lest it overflow; turning that back into bigint took half of a report's time. This one raises
-- where it overflows.
CREATE OR REPLACE AGGREGATE rollup.bigint_sum(bigint) (
    sfunc = int8pl,
    stype = bigint,
    combinefunc = int8pl,
    parallel = safe
);
COMMENT ON AGGREGATE rollup.bigint_sum(bigint) IS 'The sum as a bigint; NULL = of nothing, error 22003 = it would be '
    'too large for one';
REVOKE ALL ON FUNCTION rollup.bigint_sum(bigint) FROM public;
GRANT EXECUTE ON FUNCTION rollup.bigint_sum(bigint) TO llm_analyst;
