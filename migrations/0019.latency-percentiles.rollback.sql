DROP FUNCTION reporting.latency_percentiles(date, date, text, double precision []);
DROP VIEW llm.dimension_names;
