-- Checks of vantages: asked for with a sweep, done in jobs of their own, kept beside the observations of flows.

CREATE TABLE computer (
    domain_id  integer NOT NULL REFERENCES domain,
    name       text    NOT NULL,
    PRIMARY KEY (domain_id, name)
);
COMMENT ON TABLE computer IS 'Computers of the inventory whose accounts are looked for in every sweep of their domain. Results hold the name themselves, so rows may go.';

ALTER TABLE sweep
    ADD COLUMN checks    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN computers text[] NOT NULL DEFAULT '{}',
    ADD COLUMN captures  text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sweep.checks IS 'Checks of the vantage that the profile has.';
COMMENT ON COLUMN sweep.computers IS 'Computers that this sweep looks for besides those of the inventory.';
COMMENT ON COLUMN sweep.captures IS 'Flows, as TARGET/SERVICE, whose packets the probes are asked to keep on their own disks.';

-- The constraints of job that had no name are named here, as far as they change.
ALTER TABLE job
    ADD COLUMN task_checks    text[]    NOT NULL DEFAULT '{}',
    ADD COLUMN task_computers text[]    NOT NULL DEFAULT '{}',
    ADD COLUMN known_targets  integer[] NOT NULL DEFAULT '{}',
    DROP CONSTRAINT job_kind_check,
    DROP CONSTRAINT job_check,
    ADD CONSTRAINT job_kind CHECK (kind IN ('discovery', 'check', 'vantage')),
    ADD CONSTRAINT job_flows CHECK (kind = 'vantage' OR cardinality(task_targets) = cardinality(task_services)),
    ADD CONSTRAINT job_checks CHECK (
        cardinality(task_checks) = CASE WHEN kind = 'vantage' THEN planned ELSE 0 END
        AND cardinality(task_computers) = cardinality(task_checks)
        AND (kind <> 'vantage' OR cardinality(task_services) = 0));
COMMENT ON COLUMN job.kind IS 'discovery: targets of domains. check: flows. vantage: checks of the vantage itself.';
COMMENT ON COLUMN job.domain_ids IS 'Domain of each task of a discovery, and of each check of a vantage.';
COMMENT ON COLUMN job.task_targets IS 'Target of each task, null where a check of a vantage concerns none; the number of a task is its position, from 0.';
COMMENT ON COLUMN job.task_checks IS 'Check of each task of a vantage job.';
COMMENT ON COLUMN job.task_computers IS 'Computer of each task of a vantage job, null where it concerns none.';
COMMENT ON COLUMN job.known_targets IS 'The domain controllers that the checks of a vantage job may have to talk to.';

CREATE TYPE check_status AS ENUM ('ok', 'warning', 'problem', 'unknown');

CREATE TABLE check_result (
    job_id       uuid         NOT NULL REFERENCES job,
    task         integer      NOT NULL CHECK (task >= 0),
    sweep_id     bigint       NOT NULL,
    vantage_id   integer      NOT NULL,
    domain_id    integer      NOT NULL,
    target_id    integer,
    computer     text,
    kind         text         NOT NULL,
    status       check_status NOT NULL,
    facts        jsonb        NOT NULL DEFAULT '{}',
    observed_at  timestamptz  NOT NULL,
    received_at  timestamptz  NOT NULL DEFAULT now(),
    probe_id     uuid         NOT NULL,
    PRIMARY KEY (job_id, task)
);
CREATE INDEX check_result_sweep ON check_result (sweep_id);
CREATE INDEX check_result_vantage ON check_result (vantage_id, domain_id, kind, sweep_id);
COMMENT ON TABLE check_result IS 'One row per check of a vantage that was done. The primary key makes a repeated hand-in harmless.';
COMMENT ON COLUMN check_result.target_id IS 'Null where the check concerns the whole domain.';
COMMENT ON COLUMN check_result.kind IS 'Name of the check: resolver, clock.';
COMMENT ON COLUMN check_result.status IS 'unknown also where the probe could not do the check at all; the fact reason says why.';
