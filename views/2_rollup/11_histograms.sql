-- Latencies as DDSketch histograms (see 54_rollups.sql): made from buckets, added up, and asked for percentiles.
CREATE OR REPLACE FUNCTION rollup.latency_bucket(latency_us bigint)
RETURNS smallint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN latency_us < 1 THEN 0
    ELSE 1 + ceil(ln(latency_us::double precision) / ln(1.04::double precision))
END::smallint;
COMMENT ON FUNCTION rollup.latency_bucket(bigint) IS 'The bucket of a latency in microseconds: 0 for none at all, then '
    '1 for 1 us, each 4 % wider than the one before (DDSketch: Masson et al., VLDB 2019)';
REVOKE ALL ON FUNCTION rollup.latency_bucket(bigint) FROM public;
GRANT EXECUTE ON FUNCTION rollup.latency_bucket(bigint) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.bucket_latency_ms(bucket integer)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bucket = 0 THEN 0 ELSE 2 * power(1.04::double precision, bucket - 1) / 2.04 / 1000 END;
COMMENT ON FUNCTION rollup.bucket_latency_ms(integer) IS 'The latency a bucket stands for, in milliseconds: within '
    '1.97 % of every latency in it';
REVOKE ALL ON FUNCTION rollup.bucket_latency_ms(integer) FROM public;
GRANT EXECUTE ON FUNCTION rollup.bucket_latency_ms(integer) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.histogram_merge(histograms rollup.latency_histogram [])
RETURNS rollup.latency_histogram
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- Most reports ask for days, each of which has one.
        WHEN cardinality(histograms) = 1 THEN histograms[1]
        ELSE (
            SELECT
                row(
                    array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket)
                )::rollup.latency_histogram
            FROM (
                SELECT c.bucket, sum(sum(c.latencies)) OVER (ORDER BY c.bucket)::bigint AS rank
                FROM (
                    -- In step with each other, and here faster than in FROM. The third is one longer.
                    SELECT
                        unnest(h.buckets) AS bucket,
                        unnest(h.ranks) - unnest(0::bigint || h.ranks) AS latencies
                    FROM unnest(histograms) AS h
                ) AS c
                WHERE c.bucket IS NOT NULL
                GROUP BY c.bucket
            ) AS s
            HAVING count(*) > 0
        )
    END;
END;
COMMENT ON FUNCTION rollup.histogram_merge(rollup.latency_histogram []) IS 'Many histograms as one; NULL = there is '
    'none among them';
REVOKE ALL ON FUNCTION rollup.histogram_merge(rollup.latency_histogram []) FROM public;

CREATE OR REPLACE AGGREGATE rollup.histogram_sum(rollup.latency_histogram) (
    sfunc = array_append,
    stype = rollup._latency_histogram,
    finalfunc = rollup.histogram_merge,
    combinefunc = array_cat,
    parallel = safe
);
COMMENT ON AGGREGATE rollup.histogram_sum(rollup.latency_histogram) IS 'Many histograms as one, merged at once';
REVOKE ALL ON FUNCTION rollup.histogram_sum(rollup.latency_histogram) FROM public;
GRANT EXECUTE ON FUNCTION rollup.histogram_sum(rollup.latency_histogram) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.histogram_percentile_ms(h rollup.latency_histogram, fraction double precision)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- Ranks ascend, so width_bucket() finds by bisection how many are below the one we want. The rank is that of
-- percentile_disc().
RETURN rollup.bucket_latency_ms(
    h.buckets[
        1 + width_bucket(
            greatest(ceil(fraction * h.ranks[cardinality(h.ranks)])::bigint, 1) - 1, h.ranks
        )
    ]
);
COMMENT ON FUNCTION rollup.histogram_percentile_ms(rollup.latency_histogram, double precision) IS 'The percentile of a '
    'histogram in milliseconds, 0.95 for p95: within 2 % of what percentile_disc() says of the latencies themselves; '
    'NULL = there are none';
REVOKE ALL ON FUNCTION rollup.histogram_percentile_ms(rollup.latency_histogram, double precision) FROM public;
GRANT EXECUTE ON FUNCTION rollup.histogram_percentile_ms(rollup.latency_histogram, double precision) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.histogram_of(buckets smallint [])
RETURNS rollup.latency_histogram
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT row(array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket))::rollup.latency_histogram
    FROM (
        SELECT b AS bucket, sum(count(*)) OVER (ORDER BY b)::bigint AS rank
        FROM unnest(buckets) AS b
        GROUP BY b
    ) AS s;
END;
COMMENT ON FUNCTION rollup.histogram_of(smallint []) IS 'The histogram of latencies given by their buckets';
REVOKE ALL ON FUNCTION rollup.histogram_of(smallint []) FROM public;
GRANT EXECUTE ON FUNCTION rollup.histogram_of(smallint []) TO llm_analyst;
