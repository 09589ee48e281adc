-- Latencies as DDSketch histograms (see 54_rollups.sql): made from buckets, added up, and asked for percentiles.
CREATE FUNCTION llm.latency_bucket(latency_us bigint)
RETURNS smallint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN latency_us < 1 THEN 0
    ELSE 1 + ceil(ln(latency_us::double precision) / ln(1.04::double precision))
END::smallint;
COMMENT ON FUNCTION llm.latency_bucket(bigint) IS 'The bucket of a latency in microseconds: 0 for none at all, then 1 '
    'for 1 us, each 4 % wider than the one before (DDSketch: Masson et al., VLDB 2019)';

CREATE FUNCTION llm.bucket_latency_ms(bucket integer)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bucket = 0 THEN 0 ELSE 2 * power(1.04::double precision, bucket - 1) / 2.04 / 1000 END;
COMMENT ON FUNCTION llm.bucket_latency_ms(integer) IS 'The latency a bucket stands for, in milliseconds: within 1.97 '
    '% of every latency in it';

CREATE FUNCTION llm.histogram_merge(histograms llm.latency_histogram [])
RETURNS llm.latency_histogram
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- Most reports ask for days, each of which has one.
        WHEN cardinality(histograms) = 1 THEN histograms[1]
        ELSE (
            SELECT
                row(array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket))::llm.latency_histogram
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
COMMENT ON FUNCTION llm.histogram_merge(llm.latency_histogram []) IS 'Many histograms as one; NULL = there is none '
    'among them';

CREATE AGGREGATE llm.histogram_sum(llm.latency_histogram) (
    sfunc = array_append,
    stype = llm._latency_histogram,
    finalfunc = llm.histogram_merge,
    combinefunc = array_cat,
    parallel = safe
);
COMMENT ON AGGREGATE llm.histogram_sum(llm.latency_histogram) IS 'Many histograms as one, merged at once';

CREATE FUNCTION llm.histogram_percentile_ms(h llm.latency_histogram, fraction double precision)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- Ranks ascend, so width_bucket() finds by bisection how many are below the one we want. The rank is that of
-- percentile_disc().
RETURN llm.bucket_latency_ms(
    h.buckets[
        1 + width_bucket(
            greatest(ceil(fraction * h.ranks[cardinality(h.ranks)])::bigint, 1) - 1, h.ranks
        )
    ]
);
COMMENT ON FUNCTION llm.histogram_percentile_ms(llm.latency_histogram, double precision) IS 'The percentile of a '
    'histogram in milliseconds, 0.95 for p95: within 2 % of what percentile_disc() says of the latencies themselves; '
    'NULL = there are none';

CREATE FUNCTION llm.histogram_of(buckets smallint [])
RETURNS llm.latency_histogram
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT row(array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket))::llm.latency_histogram
    FROM (
        SELECT b AS bucket, sum(count(*)) OVER (ORDER BY b)::bigint AS rank
        FROM unnest(buckets) AS b
        GROUP BY b
    ) AS s;
END;
COMMENT ON FUNCTION llm.histogram_of(smallint []) IS 'The histogram of latencies given by their buckets';
