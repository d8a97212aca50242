-- What shows that a probe works, and not only that it is connected.

ALTER TABLE probe
    ADD COLUMN owing_since  timestamptz,
    ADD COLUMN job_ended_at timestamptz,
    ADD COLUMN problems     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN dropped      bigint NOT NULL DEFAULT 0 CHECK (dropped >= 0);
COMMENT ON COLUMN probe.owing_since IS 'Since when the probe has work and has neither handed in a result nor ended a job; null: it owes nothing. Stays when its jobs are taken from it, until it hands something in, ends a job, or connects anew without having any.';
COMMENT ON COLUMN probe.job_ended_at IS 'When it last said that it is through with a job.';
COMMENT ON COLUMN probe.problems IS 'What it says keeps it from working, as of its last heartbeat.';
COMMENT ON COLUMN probe.dropped IS 'Observations that it has dropped since it started, as of its last heartbeat.';
