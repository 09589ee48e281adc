SELECT
    d.object_name,
    d.column_name,
    CASE %(language)s WHEN 'ko' THEN d.term_ko ELSE d.term_en END,
    CASE %(language)s WHEN 'ko' THEN d.meaning_ko ELSE d.meaning END
FROM reporting.data_dictionary AS d
