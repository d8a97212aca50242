-- Where a sweep is in a trace, so that any controller continues it.

ALTER TABLE sweep
    ADD COLUMN traceparent  text CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$'),
    ADD COLUMN trace_parent text CHECK (trace_parent ~ '^[0-9a-f]{16}$'),
    ADD CONSTRAINT sweep_trace CHECK (traceparent IS NOT NULL OR trace_parent IS NULL);
COMMENT ON COLUMN sweep.traceparent IS 'The span of the sweep, as W3C Trace Context writes it; null: it is not traced.';
COMMENT ON COLUMN sweep.trace_parent IS 'The span of the request that began it; null: the trace begins with the sweep.';
