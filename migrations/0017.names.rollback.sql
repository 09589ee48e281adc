DROP FUNCTION llm.capitals_are_ascii(text);
DROP FUNCTION llm.is_email(text);
DROP FUNCTION llm.is_name(text);
DROP FUNCTION llm.as_name(text);
DROP FUNCTION llm.blank_characters();
