-- Baselines: sweeps that were accepted as the intended state.

CREATE TABLE baseline (
    id           integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text        NOT NULL,
    sweep        jsonb       NOT NULL,
    scope        jsonb       NOT NULL,
    note         text        NOT NULL DEFAULT '',
    actor        text        NOT NULL,
    accepted_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT baseline_name UNIQUE (name)
);
COMMENT ON TABLE baseline IS 'Refers to no sweep and to no observation: it outlives both.';
COMMENT ON COLUMN baseline.sweep IS 'The sweep in numbers, as the API told it when it was accepted.';
COMMENT ON COLUMN baseline.scope IS 'What the sweep was asked for: only then the absence of a flow says something.';

CREATE TABLE baseline_flows (
    baseline_id  integer   NOT NULL REFERENCES baseline ON DELETE CASCADE,
    vantage      text      NOT NULL,
    subnet       cidr,
    targets      text[]    NOT NULL,
    addresses    inet[]    NOT NULL,
    services     text[]    NOT NULL,
    outcomes     outcome[] NOT NULL,
    bys          inet[]    NOT NULL,
    PRIMARY KEY (baseline_id, vantage),
    CONSTRAINT baseline_flows_even CHECK (
        cardinality(targets) = cardinality(addresses) AND cardinality(targets) = cardinality(services)
        AND cardinality(targets) = cardinality(outcomes) AND cardinality(targets) = cardinality(bys))
);
COMMENT ON TABLE baseline_flows IS 'What came of the flows of each vantage, one row for all of them: they are read and written together only. Arrays rather than jsonb, so that outcomes and addresses are what they are called; the same place in each is the same flow.';
COMMENT ON COLUMN baseline_flows.targets IS 'Names, not ids: inventories change, what was accepted does not.';
COMMENT ON COLUMN baseline_flows.bys IS 'The device that refused; null where that is not known.';
