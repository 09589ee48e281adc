-- How long what is kept: the rule stands here, and not in a line of cron that nobody finds.
CREATE TABLE llm.retention (
    what        text    NOT NULL,
    keep_months integer NOT NULL,

    CONSTRAINT retention_pkey PRIMARY KEY (what),
    CONSTRAINT retention_what_is_known CHECK (what IN ('audit', 'sessions')),
    CONSTRAINT retention_keep_months_from_1_to_1200 CHECK (keep_months BETWEEN 1 AND 1200),
    -- As audit.drop_old_months() has it, whoever asks.
    CONSTRAINT retention_audit_keeps_12_months CHECK (what <> 'audit' OR keep_months >= 12)
);
COMMENT ON TABLE llm.retention IS '보존 기간: how long what is kept, by llm.maintain(); what has no row is kept for ever. '
    'Only its owner sets a rule: what drops months by it is not what decides';
COMMENT ON COLUMN llm.retention.what IS '대상: sessions, with their logs, by the month a session began in; or audit, by '
    'the month of the change';
COMMENT ON COLUMN llm.retention.keep_months IS '보존 개월 수: months (UTC) that are kept beside the current one';
