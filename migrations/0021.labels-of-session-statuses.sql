-- depends: 0020.labels-of-session-types
-- squawk-ignore-file ban-drop-constraint

-- As 0018.
ALTER TABLE llm.session_statuses
    DROP CONSTRAINT session_statuses_label_ko_not_blank,
    DROP CONSTRAINT session_statuses_label_en_not_blank,
    ADD CONSTRAINT session_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT session_statuses_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
