ALTER TABLE llm.session_types
    DROP CONSTRAINT session_types_label_ko_is_name,
    DROP CONSTRAINT session_types_label_en_is_name,
    ADD CONSTRAINT session_types_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT session_types_label_en_not_blank CHECK (btrim(label_en) <> '');
