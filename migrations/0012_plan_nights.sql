-- Nights that are planned ahead: probes hold these jobs, and do them by themselves when no controller is there.

CREATE TABLE plan (
    number       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (number < 281474976710656),
    schedule     text        NOT NULL,
    due_at       timestamptz NOT NULL,
    start_at     timestamptz NOT NULL,
    deadline     timestamptz NOT NULL,
    profile      text        NOT NULL,
    services     text[]      NOT NULL,
    checks       text[]      NOT NULL,
    domain_ids   integer[]   NOT NULL,
    vantage_ids  integer[]   NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now(),
    given_at     timestamptz,
    sweep_id     bigint      REFERENCES sweep ON DELETE SET NULL,
    CONSTRAINT plan_once UNIQUE (schedule, due_at),
    CONSTRAINT plan_times CHECK (due_at <= start_at AND start_at < deadline)
);
CREATE INDEX plan_deadline ON plan (deadline);
CREATE INDEX plan_sweep ON plan (sweep_id) WHERE sweep_id IS NOT NULL;
COMMENT ON TABLE plan IS 'One row for each coming run of a schedule that probes hold. Its number is part of the numbers of its jobs, so that these are fixed before there are rows of them. Deleted when it is withdrawn, and after the run.';
COMMENT ON COLUMN plan.profile IS 'With the columns after it: what the sweep is to test, as in the table sweep. A plan that the inventory does not ask for any more is made anew.';
COMMENT ON COLUMN plan.given_at IS 'When a probe first got a part of it; null: no probe can have run it.';
COMMENT ON COLUMN plan.sweep_id IS 'The sweep of the run, once a controller has begun it, in time or after the fact.';

CREATE TABLE plan_part (
    plan            bigint     NOT NULL REFERENCES plan ON DELETE CASCADE,
    part            smallint   NOT NULL CHECK (part BETWEEN 0 AND 4095),
    kind            text       NOT NULL CHECK (kind IN ('check', 'vantage')),
    task_targets    integer[]  NOT NULL,
    task_services   smallint[] NOT NULL DEFAULT '{}',
    task_checks     text[]     NOT NULL DEFAULT '{}',
    domain_ids      integer[]  NOT NULL DEFAULT '{}',
    task_computers  text[]     NOT NULL DEFAULT '{}',
    known_targets   integer[]  NOT NULL DEFAULT '{}',
    PRIMARY KEY (plan, part)
);
COMMENT ON TABLE plan_part IS 'A job that every vantage of a plan has, with the columns of the table job.';

ALTER TABLE job
    ADD COLUMN autonomous   boolean NOT NULL DEFAULT false,
    ADD COLUMN handed_in_at timestamptz,
    ADD CONSTRAINT job_handed_in CHECK (autonomous OR handed_in_at IS NULL);
COMMENT ON COLUMN job.autonomous IS 'A probe did it, or a part of it, by itself, since no controller gave it out.';
COMMENT ON COLUMN job.handed_in_at IS 'When the newest of what a probe did by itself came in.';

CREATE INDEX discovery_domain ON discovery (domain_id, sweep_id);
