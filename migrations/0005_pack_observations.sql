-- Observations in partitions, without what their job says already; what was told of them in one row a batch; spans in one
-- row for each vantage and target. A year of nights is to fit on a small disk, and a night to be dropped at once.

-- ---- numbers of jobs, in blocks: a block of numbers is a partition ----

CREATE SEQUENCE job_number AS integer START 1;

ALTER TABLE job
    ADD COLUMN number   integer NOT NULL DEFAULT nextval('job_number'),
    ADD COLUMN outcomes bytea   NOT NULL DEFAULT '',
    ADD CONSTRAINT job_number_once UNIQUE (number),
    ADD CONSTRAINT job_outcomes CHECK (length(outcomes) IN (0, cardinality(task_services)));
ALTER SEQUENCE job_number OWNED BY job.number;
-- The lists of tasks are long and repeat themselves: they are compressed, however short the row is otherwise.
ALTER TABLE job SET (toast_tuple_target = 256);
COMMENT ON COLUMN job.number IS 'Short name of the job among observations. Numbers come in blocks of 65,536: see the table block.';
COMMENT ON COLUMN job.outcomes IS 'One letter a task, zero where there is no observation; empty before the first. The letters are those of the function outcome_of.';

CREATE TABLE block (
    number      integer     PRIMARY KEY CHECK (number BETWEEN 0 AND 32767),
    began_at    timestamptz,
    ended_at    timestamptz,
    settled_at  timestamptz,
    CHECK (began_at IS NOT NULL OR ended_at IS NULL)
);
COMMENT ON TABLE block IS 'Blocks of job numbers, number * 65536 up to the next. Each has a partition of observation, detail and passing_detail. A new one is begun every day, and when one is full.';
COMMENT ON COLUMN block.began_at IS 'When the first job got a number of it; null: it is made ready.';
COMMENT ON COLUMN block.settled_at IS 'When its observations got a smaller index; null: they may still come in.';
COMMENT ON COLUMN block.ended_at IS 'When the next one began: no job is younger. After the time for which observations are kept its partitions are dropped, and its jobs deleted.';

CREATE FUNCTION outcome_of(letter "char") RETURNS outcome LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE letter WHEN 'o' THEN 'open' WHEN 'c' THEN 'closed' WHEN 'f' THEN 'filtered' WHEN 'r' THEN 'rejected'
                WHEN 'u' THEN 'unreachable' WHEN 'm' THEN 'mute' WHEN 'w' THEN 'wrong' WHEN 'x' THEN 'failed'
                WHEN '' THEN 'missed' END::outcome;
COMMENT ON FUNCTION outcome_of IS 'The outcome that a letter stands for: the first of the word, x for failed, zero for missed.';

CREATE FUNCTION letter_of(outcome outcome) RETURNS "char" LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE outcome WHEN 'failed' THEN 'x' WHEN 'missed' THEN '' ELSE left(outcome::text, 1) END::"char";
COMMENT ON FUNCTION letter_of IS 'The letter that stands for an outcome.';

-- ---- observations ----

ALTER TABLE observation RENAME TO old_observation;
ALTER INDEX observation_pkey RENAME TO old_observation_pkey;
DROP INDEX observation_sweep, observation_flow;

-- The order of the columns keeps a row of a flow that nobody refused at 48 bytes.
CREATE TABLE observation (
    observed_at  timestamptz NOT NULL,
    job          integer     NOT NULL,
    rtt_us       integer     CHECK (rtt_us >= 0),
    task         smallint    NOT NULL CHECK (task >= 0),
    attempts     smallint    NOT NULL CHECK (attempts >= 0),
    outcome      "char"      NOT NULL CHECK (outcome IN ('o', 'c', 'f', 'r', 'u', 'm', 'w', 'x')),
    confirmed    boolean     NOT NULL,
    by           inet
) PARTITION BY RANGE (job);
COMMENT ON TABLE observation IS 'One row per flow that was tested. Sweep, vantage, target and service stand in the job, whose letters, changed in the same transaction, make a repeated hand-in harmless; a unique index of the partition sees to it as well until the block is settled. Query the view report.observation.';
COMMENT ON COLUMN observation.job IS 'Number of the job.';
COMMENT ON COLUMN observation.task IS 'Position in the job, from 0.';

CREATE TABLE detail (
    job   integer  NOT NULL,
    task  smallint NOT NULL,
    body  json     NOT NULL,
    PRIMARY KEY (job, task)
) PARTITION BY RANGE (job);
COMMENT ON TABLE detail IS 'What was told of the observations of a batch and is kept as long as these: facts of flows that are blocked, and all of flows that have changed. Together, because they are alike and so compress well.';
COMMENT ON COLUMN detail.task IS 'The lowest task in it.';
COMMENT ON COLUMN detail.body IS 'By task: facts, an object, and attempts, a list; each absent where empty. An attempt is a list: start and duration in microseconds, local port, signal, bytes sent, bytes received, TTL, ICMP type, ICMP code, sender of the ICMP message; without what is zero or null at its end.';

CREATE TABLE passing_detail (LIKE detail, PRIMARY KEY (job, task)) PARTITION BY RANGE (job);
COMMENT ON TABLE passing_detail IS 'The rest of what was told: what is the same every night. Emptied after some days.';

-- A quicker compression, where this PostgreSQL has it.
DO $$ BEGIN
    ALTER TABLE detail ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE passing_detail ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;

CREATE FUNCTION open_block(wanted integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kind text;
BEGIN
    INSERT INTO block (number) VALUES (wanted) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN; END IF;
    FOREACH kind IN ARRAY ARRAY['observation', 'detail', 'passing_detail'] LOOP
        -- Attached rather than created in place: that lets reading and writing go on.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMPRESSION)', kind || '_' || wanted, kind);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       kind, kind || '_' || wanted, wanted::bigint * 65536,
                       least((wanted::bigint + 1) * 65536, 2147483647));
    END LOOP;
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I UNIQUE (job, task)', 'observation_' || wanted, 'observation_once_' || wanted);
END $$;
CREATE FUNCTION settle_block(wanted integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX %I ON %I (job)', 'observation_job_' || wanted, 'observation_' || wanted);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', 'observation_' || wanted, 'observation_once_' || wanted);
    UPDATE block SET settled_at = now() WHERE number = wanted;
END $$;
COMMENT ON FUNCTION settle_block IS 'Replaces the unique index of observations, which come in no more, by one of a fifth of its size.';

COMMENT ON FUNCTION open_block IS 'Makes a block of job numbers ready, with its partitions. Harmless where it is there.';

SELECT open_block(number) FROM generate_series(0, coalesce((SELECT max(number) FROM job), 0) / 65536 + 3) AS number;
UPDATE block SET began_at = now() WHERE number <= coalesce((SELECT max(number) FROM job), 0) / 65536;

INSERT INTO observation (job, task, observed_at, rtt_us, attempts, outcome, confirmed, by)
SELECT j.number, o.task, o.observed_at, o.rtt_us, o.attempts, letter_of(o.outcome), o.confirmed, o.by
FROM old_observation o JOIN job j ON j.id = o.job_id;

INSERT INTO detail (job, task, body)
SELECT j.number, min(o.task), json_object_agg(o.task, json_strip_nulls(json_build_object(
    'facts', nullif(o.facts, '{}'), 'attempts', (
        SELECT json_agg(json_build_array(a -> 'at_us', a -> 'took_us', a -> 'source_port', a -> 'signal', a -> 'sent_bytes',
                                         a -> 'received_bytes', a -> 'ttl', a -> 'icmp' -> 0, a -> 'icmp' -> 1, a -> 'offender'))
        FROM jsonb_array_elements(o.evidence) AS a))))
FROM old_observation o JOIN job j ON j.id = o.job_id GROUP BY j.number;

UPDATE job SET outcomes = o.outcomes FROM (
    SELECT j.id, string_agg(CASE WHEN o.outcome IS NULL THEN '\x00' ELSE convert_to(letter_of(o.outcome)::text, 'UTF8') END, ''
                            ORDER BY task.number) AS outcomes
    FROM job j
    CROSS JOIN LATERAL unnest(j.task_services) WITH ORDINALITY AS task (service_id, number)
    LEFT JOIN old_observation o ON o.job_id = j.id AND o.task = task.number - 1
    WHERE j.kind = 'check' AND j.observed > 0 GROUP BY j.id) o
WHERE job.id = o.id;

DROP TABLE old_observation;

-- ---- sweeps whose observations are gone ----

ALTER TABLE sweep
    ADD COLUMN expired_at timestamptz,
    ADD COLUMN planned    bigint,
    ADD COLUMN checks_planned bigint,
    ADD COLUMN observed   bigint,
    ADD COLUMN missed     bigint,
    ADD CONSTRAINT sweep_expired CHECK (num_nulls(expired_at, planned, checks_planned, observed, missed) IN (0, 5));
COMMENT ON COLUMN sweep.expired_at IS 'When its jobs and observations were deleted because of their age. What they came to stands in the columns after it, and in the spans.';

-- ---- spans ----

ALTER TABLE span RENAME TO old_span;
ALTER INDEX span_pkey RENAME TO old_span_pkey;

CREATE TYPE span_run AS (
    service_id   smallint,
    outcome      "char",
    by           inet,
    first_seen   timestamptz,
    first_sweep  bigint,
    last_seen    timestamptz,
    last_sweep   bigint,
    sweeps       integer
);

CREATE TABLE span (
    vantage_id    integer       NOT NULL,
    target_id     integer       NOT NULL,
    services      smallint[]    NOT NULL,
    outcomes      "char"[]      NOT NULL,
    bys           inet[]        NOT NULL,
    first_seens   timestamptz[] NOT NULL,
    first_sweeps  bigint[]      NOT NULL,
    last_seens    timestamptz[] NOT NULL,
    last_sweeps   bigint[]      NOT NULL,
    sweeps        integer[]     NOT NULL,
    ended         span_run[]    NOT NULL DEFAULT '{}',
    PRIMARY KEY (vantage_id, target_id),
    CONSTRAINT span_lists CHECK (
        cardinality(outcomes) = cardinality(services) AND cardinality(bys) = cardinality(services)
        AND cardinality(first_seens) = cardinality(services) AND cardinality(first_sweeps) = cardinality(services)
        AND cardinality(last_seens) = cardinality(services) AND cardinality(last_sweeps) = cardinality(services)
        AND cardinality(sweeps) = cardinality(services))
) WITH (fillfactor = 50);
COMMENT ON TABLE span IS 'Runs of equal outcome (and by) of the flows from a vantage to a target. They follow from the observations, whatever the order in which these came. The lists hold the newest run of each service, so that an unchanged night updates one row, in place. Query the view report.span.';
COMMENT ON COLUMN span.first_sweeps IS 'With the flow it names the observation that began the span; of two sweeps at the same time the higher number is the later one.';
COMMENT ON COLUMN span.last_seens IS 'The newest observation of the run. What was seen between it and the next span is not known: there may be failed observations, which neither end a run nor make it longer.';
COMMENT ON COLUMN span.sweeps IS 'How many observations the run has.';
COMMENT ON COLUMN span.ended IS 'The runs before, in no order. Not touched, and so not rewritten, by a night that changes nothing.';

INSERT INTO span (vantage_id, target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens, last_sweeps,
                  sweeps, ended)
SELECT vantage_id, target_id,
       array_agg(service_id ORDER BY service_id) FILTER (WHERE newest),
       array_agg(letter_of(outcome) ORDER BY service_id) FILTER (WHERE newest),
       array_agg(by ORDER BY service_id) FILTER (WHERE newest),
       array_agg(first_seen ORDER BY service_id) FILTER (WHERE newest),
       array_agg(first_sweep ORDER BY service_id) FILTER (WHERE newest),
       array_agg(last_seen ORDER BY service_id) FILTER (WHERE newest),
       array_agg(last_sweep ORDER BY service_id) FILTER (WHERE newest),
       array_agg(sweeps ORDER BY service_id) FILTER (WHERE newest),
       coalesce(array_agg((service_id, letter_of(outcome), by, first_seen, first_sweep, last_seen, last_sweep, sweeps)::span_run)
                FILTER (WHERE NOT newest), '{}')
FROM (SELECT s.*, row_number() OVER (PARTITION BY vantage_id, target_id, service_id
                                     ORDER BY first_seen DESC, first_sweep DESC) = 1 AS newest FROM old_span s) s
GROUP BY vantage_id, target_id;

DROP TABLE old_span;

CREATE INDEX job_vantage ON job (vantage_id, sweep_id);
