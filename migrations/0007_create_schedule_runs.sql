-- Schedules run: what was looked at, what became of each run, and what somebody paused.

ALTER TABLE schedule
    ADD COLUMN considered_until timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN look_at          timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN paused_at        timestamptz,
    ADD COLUMN paused_until     timestamptz,
    ADD COLUMN paused_by        text,
    ADD COLUMN pause_reason     text,
    ADD CONSTRAINT schedule_pause CHECK (
        (paused_at IS NULL) = (paused_by IS NULL)
        AND (paused_at IS NOT NULL OR (paused_until IS NULL AND pause_reason IS NULL)));
CREATE INDEX schedule_look_at ON schedule (look_at);
COMMENT ON COLUMN schedule.considered_until IS 'Every run that starts by then is in schedule_run, or was due before the schedule was. It never goes back.';
COMMENT ON COLUMN schedule.look_at IS 'When the next run starts, so that nobody looks before; infinity when there is none. A change of the definition makes it due at once.';
COMMENT ON COLUMN schedule.paused_at IS 'Null: not paused. A pause is the operators'', not the inventory''s: applying a file does not end it.';
COMMENT ON COLUMN schedule.paused_until IS 'Null while paused: until somebody resumes.';

CREATE TABLE schedule_run (
    schedule     text        NOT NULL,
    due_at       timestamptz NOT NULL,
    state        text        NOT NULL CHECK (state IN ('started', 'skipped', 'failed')),
    reason       text,
    detail       text,
    sweep_id     bigint      REFERENCES sweep ON DELETE SET NULL,
    asked_by     text,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule, due_at),
    CONSTRAINT schedule_run_reason CHECK ((state = 'started') = (reason IS NULL)),
    CONSTRAINT schedule_run_sweep CHECK (state = 'started' OR sweep_id IS NULL)
);
CREATE INDEX schedule_run_of_sweep ON schedule_run (sweep_id) WHERE sweep_id IS NOT NULL;
COMMENT ON TABLE schedule_run IS 'What became of each run of each schedule: one row, however many controllers watch. The newest 1000 of a schedule are kept.';
COMMENT ON COLUMN schedule_run.schedule IS 'Name of the schedule. The row stays when the schedule goes.';
COMMENT ON COLUMN schedule_run.due_at IS 'The time that the cron expression names; of a run that an operator asked for, when that was.';
COMMENT ON COLUMN schedule_run.reason IS 'blackout, paused, too-late, superseded or overlap of a run that was skipped, inventory of one that failed.';
COMMENT ON COLUMN schedule_run.asked_by IS 'The operator who asked for it; null: the schedule itself.';

ALTER TABLE sweep ADD COLUMN schedule text;
COMMENT ON COLUMN sweep.schedule IS 'The schedule that began it; null where an operator did. Jobs of operators are given out first.';
