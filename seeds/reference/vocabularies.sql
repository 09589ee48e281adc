-- The vocabularies' values: the ERD's own, in its own Korean words; model_types, for which the ERD names none,
-- starts with the common kinds. Safe to run any number of times: labels that someone has edited since are left
-- alone.

INSERT INTO llm.roles (code, label_ko, label_en)
VALUES
    ('admin', '관리자', 'Admin'),
    ('developer', '개발자', 'Developer'),
    ('researcher', '연구원', 'Researcher'),
    ('analyst', '분석가', 'Analyst')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.session_types (code, label_ko, label_en)
VALUES
    ('development', '개발', 'Development'),
    ('test', '테스트', 'Test'),
    ('production', '프로덕션', 'Production'),
    ('experiment', '실험', 'Experiment')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.session_statuses (code, label_ko, label_en)
VALUES
    ('running', '진행중', 'In progress'),
    ('completed', '완료', 'Completed'),
    ('error', '오류', 'Error'),
    ('aborted', '중단', 'Aborted')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.model_types (code, label_ko, label_en)
VALUES
    ('chat', '대화', 'Chat'),
    ('code', '코딩', 'Code'),
    ('embedding', '임베딩', 'Embedding'),
    ('multimodal', '멀티모달', 'Multimodal')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.environments (code, label_ko, label_en)
VALUES
    ('development', '개발', 'Development'),
    ('test', '테스트', 'Test'),
    ('staging', '스테이징', 'Staging'),
    ('production', '프로덕션', 'Production')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.deployment_statuses (code, label_ko, label_en)
VALUES
    ('active', '활성', 'Active'),
    ('inactive', '비활성', 'Inactive'),
    ('maintenance', '유지보수', 'Maintenance'),
    ('error', '오류', 'Error')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.learning_types (code, label_ko, label_en)
VALUES
    ('fine_tuning', '파인튜닝', 'Fine-tuning'),
    ('prompt_learning', '프롬프트학습', 'Prompt learning'),
    ('transfer_learning', '전이학습', 'Transfer learning'),
    ('reinforcement_learning', '강화학습', 'Reinforcement learning')
ON CONFLICT (code) DO NOTHING;

INSERT INTO llm.task_categories (code, label_ko, label_en)
VALUES
    ('summarization', '요약', 'Summarization'),
    ('translation', '번역', 'Translation'),
    ('generation', '생성', 'Generation'),
    ('analysis', '분석', 'Analysis'),
    ('coding', '코딩', 'Coding')
ON CONFLICT (code) DO NOTHING;
