-- Budgets of new attempts per second: to a target, over the whole fleet, and over the link of a vantage.

ALTER TABLE domain ADD COLUMN budget integer CHECK (budget > 0);
ALTER TABLE target ADD COLUMN budget integer CHECK (budget > 0);
ALTER TABLE vantage ADD COLUMN budget integer CHECK (budget > 0);
COMMENT ON COLUMN domain.budget IS 'New attempts per second to each of its targets that has no budget of its own. Null: as many as the controller gives by itself.';
COMMENT ON COLUMN target.budget IS 'New attempts per second, of the whole fleet. Null: the domain''s. Of several targets with one address the smallest counts.';
COMMENT ON COLUMN vantage.budget IS 'New attempts per second of all of its probes together. Null: their own rates are the only ones.';
CREATE INDEX target_address ON target (address);

-- What talks to a target has a share of its budget: every job knows its targets.
COMMENT ON COLUMN job.known_targets IS 'The targets that the job may have to talk to: those of its flows, the domain controllers of its checks, the known ones of the domains that it discovers.';
UPDATE job SET known_targets = ARRAY(SELECT DISTINCT target_id FROM unnest(task_targets) AS target_id ORDER BY target_id)
WHERE kind = 'check' AND state <> 'finished';

CREATE TABLE budget (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address     inet    UNIQUE,
    vantage_id  integer UNIQUE REFERENCES vantage,
    CHECK (num_nonnulls(address, vantage_id) = 1)
);
COMMENT ON TABLE budget IS 'What shares are lent of: an address, or the link of a vantage. Whoever lends locks the row, and rows in the order of their ids. How large it is stands with the target, its domain or the vantage.';

CREATE TABLE share (
    budget_id  integer     NOT NULL REFERENCES budget,
    job_id     uuid        NOT NULL,
    probe_id   uuid        NOT NULL,
    rate       integer     NOT NULL CHECK (rate > 0),
    from_at    timestamptz NOT NULL,
    until_at   timestamptz NOT NULL,
    PRIMARY KEY (budget_id, job_id, probe_id)
);
CREATE INDEX share_job ON share (job_id, probe_id);
CREATE INDEX share_until ON share (until_at);
COMMENT ON TABLE share IS 'Parts of budgets that are lent: at any time those that are under way add up to no more than the budget. A share is a probe''s: a job that is handed on gets another one, for the first probe may still be at work.';
COMMENT ON COLUMN share.rate IS 'New attempts in any second.';
COMMENT ON COLUMN share.until_at IS 'The end of the job, and a while for clocks that drift; or a second after the probe said that it is through with the job.';
