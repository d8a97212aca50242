-- Alerts: what a sweep found that somebody has to know, until it is over, and the notices of it.

CREATE TABLE alert (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text        NOT NULL CHECK (kind IN ('gap', 'exposure', 'regression', 'fix', 'lost-vantage')),
    about           jsonb       NOT NULL,
    sentence        text        NOT NULL,
    flows           integer     NOT NULL CHECK (flows >= 0),
    sweep_id        bigint      NOT NULL,
    opened_at       timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    resolved_at     timestamptz,
    resolved_sweep  bigint,
    held            boolean     NOT NULL DEFAULT false,
    CONSTRAINT alert_held CHECK (NOT held OR resolved_at IS NOT NULL)
);
CREATE INDEX alert_open ON alert (id) WHERE resolved_at IS NULL OR held;
CREATE INDEX alert_changed ON alert (changed_at);
COMMENT ON COLUMN alert.about IS 'What is known of the cause, as JSON, from when it opened.';
COMMENT ON COLUMN alert.opened_at IS 'This and all other times of the row are those at which sweeps ended.';
COMMENT ON COLUMN alert.seen_at IS 'The end of the last sweep that had one of its items.';
COMMENT ON COLUMN alert.changed_at IS 'The end of the last sweep that changed it.';
COMMENT ON COLUMN alert.resolved_at IS 'When it was told to be over.';
COMMENT ON COLUMN alert.held IS 'It came back within the hold time after resolved_at: it is there, and nobody was told.';

CREATE TABLE alert_item (
    alert_id  bigint NOT NULL REFERENCES alert ON DELETE CASCADE,
    vantage   text   NOT NULL,
    target    text   NOT NULL,
    address   text   NOT NULL,
    service   text   NOT NULL,
    ended_at  timestamptz,
    PRIMARY KEY (alert_id, vantage, target, address, service),
    CONSTRAINT alert_item_flow CHECK ((address = '') = (service = ''))
);
COMMENT ON TABLE alert_item IS 'What an alert speaks of: a flow by its names, or a vantage, whose target, address and service are empty.';
COMMENT ON COLUMN alert_item.ended_at IS 'The end of the sweep in which it was over; null while it is there.';

CREATE TABLE alert_sweep (
    sweep_id       bigint      PRIMARY KEY,
    previous       bigint,
    state          text        NOT NULL,
    observed       bigint      NOT NULL,
    considered_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alert_sweep IS 'Sweeps that were considered. A partial one is considered again once it has more results.';
COMMENT ON COLUMN alert_sweep.previous IS 'The sweep that it was compared with; null where there is none to compare it with.';

-- What ended before there were alerts is told by the next sweep, if it is so still.
INSERT INTO alert_sweep (sweep_id, state, observed) SELECT id, 'complete', 0 FROM sweep WHERE state <> 'running';

CREATE TABLE alert_notice (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           uuid        NOT NULL UNIQUE,
    alert_id      bigint      REFERENCES alert ON DELETE CASCADE,
    channel       text        NOT NULL,
    event         text        NOT NULL CHECK (event IN ('open', 'resolved', 'test')),
    body          jsonb       NOT NULL,
    state         text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts      integer     NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    next_at       timestamptz NOT NULL DEFAULT now(),
    done_at       timestamptz,
    error         text,
    CONSTRAINT alert_notice_done CHECK ((state = 'waiting') = (done_at IS NULL)),
    CONSTRAINT alert_notice_alert CHECK ((event = 'test') = (alert_id IS NULL))
);
CREATE INDEX alert_notice_waiting ON alert_notice (next_at) WHERE state = 'waiting';
CREATE INDEX alert_notice_order ON alert_notice (alert_id, channel, id);
CREATE INDEX alert_notice_done ON alert_notice (done_at) WHERE state <> 'waiting';
COMMENT ON TABLE alert_notice IS 'The outbox: written in the transaction that decides, sent by any controller, at least once. It holds no secret: the channel is a name of the configuration.';
COMMENT ON COLUMN alert_notice.key IS 'The same in every attempt, so that a receiver can tell a repetition.';
COMMENT ON COLUMN alert_notice.next_at IS 'When it may be tried. Who takes it moves this on by the length of a lease first, so that another tries it should the first die.';
COMMENT ON COLUMN alert_notice.error IS 'Why the last attempt failed; of a failed notice, why it was given up.';
