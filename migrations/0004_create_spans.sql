-- Spans: the runs of equal outcome of each flow, kept with every observation that comes in.

CREATE TABLE span (
    first_seen   timestamptz NOT NULL,
    first_sweep  bigint      NOT NULL,
    last_seen    timestamptz NOT NULL,
    last_sweep   bigint      NOT NULL,
    vantage_id   integer     NOT NULL,
    target_id    integer     NOT NULL,
    sweeps       integer     NOT NULL,
    outcome      outcome     NOT NULL,
    service_id   smallint    NOT NULL,
    by           inet,
    PRIMARY KEY (vantage_id, target_id, service_id, first_seen, first_sweep),
    CONSTRAINT span_outcome CHECK (outcome NOT IN ('failed', 'missed')),
    CONSTRAINT span_sweeps CHECK (sweeps > 0),
    CONSTRAINT span_order CHECK ((first_seen, first_sweep) <= (last_seen, last_sweep))
) WITH (fillfactor = 60);
COMMENT ON TABLE span IS 'Runs of equal outcome (and by) of each flow. They follow from the observations, whatever the order in which these came. The space that pages keep free lets an unchanged night update them in place, without touching the index: last_seen and sweeps are in none.';
COMMENT ON COLUMN span.first_sweep IS 'With the flow it names the observation that began the span; of two sweeps at the same time the higher number is the later one.';
COMMENT ON COLUMN span.last_seen IS 'The newest observation of the run. What was seen between it and the next span is not known: there may be failed observations, which neither end a run nor make it longer.';
COMMENT ON COLUMN span.sweeps IS 'How many observations the run has.';

-- The spans of what has been observed before.
INSERT INTO span (vantage_id, target_id, service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep, sweeps)
WITH marked AS (
    SELECT o.*, (outcome, by) IS DISTINCT FROM (lag(outcome) OVER flow, lag(by) OVER flow) AS begins
    FROM observation o WHERE outcome <> 'failed'
    WINDOW flow AS (PARTITION BY vantage_id, target_id, service_id ORDER BY observed_at, sweep_id)
), numbered AS (
    SELECT m.*, count(*) FILTER (WHERE begins) OVER (
        PARTITION BY vantage_id, target_id, service_id ORDER BY observed_at, sweep_id) AS run
    FROM marked m
)
SELECT vantage_id, target_id, service_id, outcome, by,
       min(observed_at), (array_agg(sweep_id ORDER BY observed_at, sweep_id))[1],
       max(observed_at), (array_agg(sweep_id ORDER BY observed_at DESC, sweep_id DESC))[1], count(*)
FROM numbered GROUP BY vantage_id, target_id, service_id, run, outcome, by;
