-- depends: 0036.dropped-months

-- What a deployment held, and since when. llm.deployments says what it holds now; the cost of last year must not change
-- because somebody adds a GPU today. Written by a trigger on deployments, so that no program can forget it.
CREATE TABLE llm.deployment_history (
    deployment_id bigint      NOT NULL,
    since         timestamptz NOT NULL,
    model_id      bigint      NOT NULL,
    gpu_count     integer     NOT NULL,
    environment   text        NOT NULL,
    status        text        NOT NULL,

    CONSTRAINT deployment_history_pkey PRIMARY KEY (deployment_id, since),
    CONSTRAINT deployment_history_deployment_id_fkey FOREIGN KEY (deployment_id)
        REFERENCES llm.deployments (deployment_id),
    CONSTRAINT deployment_history_model_id_fkey FOREIGN KEY (model_id) REFERENCES llm.models (model_id),
    CONSTRAINT deployment_history_environment_fkey FOREIGN KEY (environment) REFERENCES llm.environments (code),
    CONSTRAINT deployment_history_status_fkey FOREIGN KEY (status) REFERENCES llm.deployment_statuses (code),
    CONSTRAINT deployment_history_since_within_2000_to_2099 CHECK (
        since = '-infinity' OR since >= '2000-01-01 00:00Z' AND since < '2100-01-01 00:00Z'
    ),
    CONSTRAINT deployment_history_gpu_count_not_negative CHECK (gpu_count >= 0),
    -- Time without a beginning has no GPU hours.
    CONSTRAINT deployment_history_begins_without_gpus CHECK (since > '-infinity' OR gpu_count = 0)
);
COMMENT ON TABLE llm.deployment_history IS '배포 이력: what each deployment held, and since when; kept by a trigger on '
    'llm.deployments. A correction here (a GPU that was added earlier) is followed by the reports';
COMMENT ON COLUMN llm.deployment_history.deployment_id IS '배포: whose history it is';
COMMENT ON COLUMN llm.deployment_history.since IS '시작 시간: from when on; -infinity in a deployment''s first row, which '
    'says what it was before it is known to have held a GPU';
COMMENT ON COLUMN llm.deployment_history.model_id IS '모델: the model it ran from then on';
COMMENT ON COLUMN llm.deployment_history.gpu_count IS 'GPU 개수: GPUs it held from then on, which cost also while nobody '
    'asks; 0 in the row since -infinity';
COMMENT ON COLUMN llm.deployment_history.environment IS '배포 환경: its stage from then on';
COMMENT ON COLUMN llm.deployment_history.status IS '배포 상태: its availability from then on; while it is inactive, its '
    'GPUs are others'' and cost nothing here';

CREATE INDEX deployment_history_model_id_idx ON llm.deployment_history (model_id);
CREATE INDEX deployment_history_environment_idx ON llm.deployment_history (environment);
CREATE INDEX deployment_history_status_idx ON llm.deployment_history (status);
-- Rows come from the triggers on deployments, and from the same transaction that makes these:
-- views/5_triggers/33_deployments.sql.
