-- Budgets on nights that probes run by themselves: what a run reserves of them, and who may use which part of it, and when.

CREATE TABLE plan_run (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id < 281474976710656),
    head          bigint      REFERENCES plan_run ON DELETE CASCADE,
    schedule      text        NOT NULL,
    due_at        timestamptz NOT NULL,
    start_at      timestamptz NOT NULL,
    end_at        timestamptz NOT NULL,
    until_at      timestamptz NOT NULL,
    seats         integer     NOT NULL CHECK (seats > 0),
    slots         integer     NOT NULL CHECK (slots > 0),
    slot_seconds  integer     NOT NULL CHECK (slot_seconds > 0),
    gap_seconds   integer     NOT NULL CHECK (gap_seconds >= 0),
    CONSTRAINT plan_run_once UNIQUE (schedule, due_at),
    CONSTRAINT plan_run_times CHECK (start_at < end_at AND end_at < until_at)
);
CREATE INDEX plan_run_until ON plan_run (until_at);
CREATE INDEX plan_run_head ON plan_run (head) WHERE head IS NOT NULL;
COMMENT ON TABLE plan_run IS 'One row for each coming run of a schedule for which parts of budgets are reserved, whatever becomes of its plan. As soon as a probe has a seat nothing of it changes, and it stays until its time is over: a probe that is away may hold a plan that was withdrawn. The reservations are rows of the table share, with the nil UUID as their probe.';
COMMENT ON COLUMN plan_run.head IS 'An earlier run of the schedule that clocks would not tell from this one: its seats, rates and reservations are this one''s as well. Null: it has its own.';
COMMENT ON COLUMN plan_run.until_at IS 'When the reservations end, also those for later runs: later than the windows by as much as clocks may be wrong.';
COMMENT ON COLUMN plan_run.seats IS 'Probes that may be at work at the same time. Seat s has slot s / seats.';
COMMENT ON COLUMN plan_run.slots IS 'Parts of the window, slot_seconds long, gap_seconds apart.';

CREATE TABLE plan_rate (
    run        bigint   NOT NULL REFERENCES plan_run ON DELETE CASCADE,
    budget_id  integer  NOT NULL REFERENCES budget,
    each       integer  NOT NULL CHECK (each > 0),
    users      integer  NOT NULL CHECK (users > 0),
    PRIMARY KEY (run, budget_id)
);
COMMENT ON TABLE plan_rate IS 'What a probe with a seat may use of a budget: each new attempts per second, for all of its jobs of the run. Reserved is each * users.';
COMMENT ON COLUMN plan_rate.users IS 'Probes that may use it at the same time; of a link, all that its vantage may have.';

CREATE TABLE plan_seat (
    run         bigint  NOT NULL REFERENCES plan_run ON DELETE CASCADE,
    probe_id    uuid    NOT NULL,
    vantage_id  integer NOT NULL,
    seat        integer NOT NULL CHECK (seat >= 0),
    PRIMARY KEY (run, probe_id),
    CONSTRAINT plan_seat_once UNIQUE (run, seat)
);
COMMENT ON TABLE plan_seat IS 'Who may have been given a plan of a run. A seat is not given back: at most seats * slots of the run.';

ALTER TABLE plan ADD COLUMN withheld text;
COMMENT ON COLUMN plan.withheld IS 'Why probes are not given it, in a sentence: the run does not fit into what may be planned of the budgets.';
