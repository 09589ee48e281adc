-- How reports of cost count, until somebody says otherwise.
INSERT INTO llm.cost_settings DEFAULT VALUES ON CONFLICT DO NOTHING;
