-- What was asked for and what came of it.

CREATE TYPE outcome AS ENUM (
    'open', 'closed', 'filtered', 'rejected', 'unreachable', 'mute', 'wrong', 'failed', 'missed'
);

CREATE TABLE service (
    id    smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text     NOT NULL UNIQUE
);
COMMENT ON TABLE service IS 'Numbers for the names of services, given on first use.';

CREATE TABLE sweep (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state        text        NOT NULL CHECK (state IN ('running', 'complete', 'partial', 'cancelled')),
    profile      text        NOT NULL,
    services     text[]      NOT NULL,
    domain_ids   integer[]   NOT NULL,
    vantage_ids  integer[]   NOT NULL,
    actor        text        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    deadline     timestamptz NOT NULL,
    planned_at   timestamptz,
    finished_at  timestamptz,
    note         text,
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK (state = 'cancelled' OR state = 'running' OR planned_at IS NOT NULL)
);
CREATE INDEX sweep_running ON sweep (id) WHERE state = 'running';
CREATE INDEX sweep_partial ON sweep (finished_at) WHERE state = 'partial';
COMMENT ON COLUMN sweep.note IS 'Why it tests less than was asked for. A sweep with a note is never complete.';
COMMENT ON COLUMN sweep.planned_at IS 'Null while discovery is under way: then the flows are not yet known.';

CREATE TABLE job (
    id            uuid        PRIMARY KEY,
    sweep_id      bigint      NOT NULL REFERENCES sweep,
    vantage_id    integer     NOT NULL REFERENCES vantage,
    kind          text        NOT NULL CHECK (kind IN ('discovery', 'check')),
    state         text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'assigned', 'finished')),
    reason        text        CHECK (reason IN ('no-probe', 'probe-lost', 'expired', 'cancelled', 'refused')),
    probe_id      uuid        REFERENCES probe,
    queued_at     timestamptz NOT NULL DEFAULT now(),
    assigned_at   timestamptz,
    reported_at   timestamptz,
    finished_at   timestamptz,
    domain_ids    integer[]   NOT NULL DEFAULT '{}',
    task_targets  integer[]   NOT NULL DEFAULT '{}',
    task_services smallint[]  NOT NULL DEFAULT '{}',
    planned       integer     NOT NULL,
    observed      integer     NOT NULL DEFAULT 0,
    missed        integer     NOT NULL DEFAULT 0,
    CHECK (cardinality(task_targets) = cardinality(task_services)),
    CHECK (kind = 'discovery' OR planned = cardinality(task_targets)),
    CHECK (kind = 'check' OR planned = cardinality(domain_ids)),
    CHECK (observed >= 0 AND missed >= 0 AND observed + missed <= planned),
    CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
    CHECK ((state = 'queued') = (assigned_at IS NULL) OR state = 'finished'),
    CONSTRAINT job_counts_every_task CHECK (state <> 'finished' OR planned = observed + missed)
);
CREATE INDEX job_sweep ON job (sweep_id);
CREATE INDEX job_open ON job (vantage_id) WHERE state <> 'finished';
CREATE INDEX job_assigned ON job (probe_id) WHERE state = 'assigned';
COMMENT ON COLUMN job.reported_at IS 'When the probe said that it is through with the job. What is then neither observed nor spooled was refused.';
COMMENT ON COLUMN job.task_targets IS 'Target of each task; the number of a task is its position, from 0.';
COMMENT ON COLUMN job.missed IS 'Set when the job ends; an observation that comes in later takes one back.';
COMMENT ON COLUMN job.reason IS 'Why the job ended before every task was observed. Late results do not take it back.';

CREATE TABLE observation (
    job_id       uuid        NOT NULL REFERENCES job,
    task         integer     NOT NULL CHECK (task >= 0),
    sweep_id     bigint      NOT NULL,
    vantage_id   integer     NOT NULL,
    target_id    integer     NOT NULL,
    service_id   smallint    NOT NULL,
    outcome      outcome     NOT NULL CHECK (outcome <> 'missed'),
    by           inet,
    rtt_us       integer     CHECK (rtt_us >= 0),
    attempts     smallint    NOT NULL CHECK (attempts >= 0),
    confirmed    boolean     NOT NULL,
    facts        jsonb       NOT NULL DEFAULT '{}',
    evidence     jsonb       NOT NULL DEFAULT '[]',
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    probe_id     uuid        NOT NULL,
    PRIMARY KEY (job_id, task)
);
CREATE INDEX observation_sweep ON observation (sweep_id);
CREATE INDEX observation_flow ON observation (vantage_id, target_id, service_id, sweep_id);
COMMENT ON TABLE observation IS 'One row per task that was tested. The primary key makes a repeated hand-in harmless.';

CREATE TABLE discovery (
    job_id       uuid        NOT NULL REFERENCES job,
    task         integer     NOT NULL CHECK (task >= 0),
    sweep_id     bigint      NOT NULL,
    vantage_id   integer     NOT NULL,
    domain_id    integer     NOT NULL,
    outcome      outcome     NOT NULL CHECK (outcome <> 'missed'),
    target_ids   integer[]   NOT NULL DEFAULT '{}',
    facts        jsonb       NOT NULL DEFAULT '{}',
    evidence     jsonb       NOT NULL DEFAULT '[]',
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    probe_id     uuid        NOT NULL,
    PRIMARY KEY (job_id, task)
);
CREATE INDEX discovery_sweep ON discovery (sweep_id);
COMMENT ON TABLE discovery IS 'What the SRV records of a domain said at a vantage: the results of discovery jobs.';
