-- What people may query with psql or Grafana. These views are a contract: columns are added, never renamed or removed.

CREATE SCHEMA report;
COMMENT ON SCHEMA report IS 'Views for people and dashboards. The tables behind them may change with any version, these views only grow.';

CREATE VIEW report.sweep AS
SELECT s.id AS sweep, s.state, s.profile, s.actor, s.started_at, s.finished_at, s.note,
       coalesce(s.planned, j.planned, 0)::bigint AS planned, coalesce(s.checks_planned, j.checks, 0)::bigint AS checks,
       coalesce(s.observed, j.observed, 0)::bigint AS observed, coalesce(s.missed, j.missed, 0)::bigint AS missed,
       s.expired_at
FROM sweep s
LEFT JOIN LATERAL (
    SELECT sum(planned) AS planned, sum(planned) FILTER (WHERE kind = 'vantage') AS checks, sum(observed) AS observed,
           sum(missed) AS missed
    FROM job WHERE sweep_id = s.id AND kind <> 'discovery') j ON true;
COMMENT ON VIEW report.sweep IS 'One row per sweep.';
COMMENT ON COLUMN report.sweep.state IS 'running, complete, partial or cancelled.';
COMMENT ON COLUMN report.sweep.planned IS 'Flows and checks of vantages; always observed + missed once the sweep has ended.';
COMMENT ON COLUMN report.sweep.checks IS 'How many of the planned are checks of a vantage.';
COMMENT ON COLUMN report.sweep.note IS 'Why it tested less than was asked for, where there is something to say.';
COMMENT ON COLUMN report.sweep.expired_at IS 'When its observations were dropped because of their age. Its spans stay.';

CREATE VIEW report.observation AS
SELECT j.sweep_id AS sweep, s.started_at, v.name AS vantage, v.site, v.subnet,
       coalesce(nullif(t.host, ''), host(t.address)) AS target, t.address, n.name AS service,
       coalesce(outcome_of(o.outcome), 'missed') AS outcome, o.by, o.rtt_us, o.attempts, o.confirmed, o.observed_at,
       j.reason
FROM job j
JOIN sweep s ON s.id = j.sweep_id
CROSS JOIN LATERAL unnest(j.task_targets, j.task_services) WITH ORDINALITY AS task (target_id, service_id, number)
JOIN vantage v ON v.id = j.vantage_id
JOIN target t ON t.id = task.target_id
JOIN service n ON n.id = task.service_id
LEFT JOIN observation o ON o.job = j.number AND o.task = task.number - 1
WHERE j.kind = 'check' AND (o.job IS NOT NULL OR j.state = 'finished');
COMMENT ON VIEW report.observation IS 'One row per flow and sweep: what came of it, for as long as observations are kept. Name a sweep or a vantage: without, all nights are read.';
COMMENT ON COLUMN report.observation.target IS 'Host name, or the address where there is none.';
COMMENT ON COLUMN report.observation.outcome IS 'open, closed, filtered, rejected, unreachable, mute, wrong, failed (the probe could not test), missed (not tested).';
COMMENT ON COLUMN report.observation.by IS 'The device that refused, where it is known.';
COMMENT ON COLUMN report.observation.rtt_us IS 'Round trip of the attempt that decided, microseconds.';
COMMENT ON COLUMN report.observation.confirmed IS 'A change was tested again and seen again.';
COMMENT ON COLUMN report.observation.reason IS 'Of what was missed: why the job ended before its time.';

CREATE VIEW report.fact AS
SELECT j.sweep_id AS sweep, v.name AS vantage, coalesce(nullif(t.host, ''), host(t.address)) AS target, t.address,
       n.name AS service, told.value -> 'facts' AS facts, told.value -> 'attempts' AS attempts
FROM job j
JOIN (SELECT job, body FROM detail UNION ALL SELECT job, body FROM passing_detail) d ON d.job = j.number
CROSS JOIN LATERAL json_each(d.body) AS told (task, value)
JOIN vantage v ON v.id = j.vantage_id
JOIN target t ON t.id = j.task_targets[told.task::integer + 1]
JOIN service n ON n.id = j.task_services[told.task::integer + 1];
COMMENT ON VIEW report.fact IS 'What the exchange told, and every attempt, of the flows of a sweep. A flow has two rows where its facts are kept longer than its attempts; attempts of flows that have not changed, and facts of those that are open, are kept some days only. Name a sweep.';
COMMENT ON COLUMN report.fact.facts IS 'JSON object by name of the fact; null where nothing was told.';
COMMENT ON COLUMN report.fact.attempts IS 'JSON list of the attempts, the evidence of the outcome. Each is a list: start and duration in microseconds, local port, signal, bytes sent, bytes received, TTL, ICMP type, ICMP code, sender of the ICMP message; without what is zero or null at its end.';

CREATE VIEW report.outcome AS
SELECT j.sweep_id AS sweep, s.started_at, v.name AS vantage, v.site,
       CASE letter.code WHEN 0 THEN 'missed' ELSE outcome_of(chr(letter.code)::"char") END AS outcome, count(*) AS flows
FROM job j
JOIN sweep s ON s.id = j.sweep_id
JOIN vantage v ON v.id = j.vantage_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN length(j.outcomes) > 0 THEN get_byte(j.outcomes, place) ELSE 0 END AS code
    FROM generate_series(0, cardinality(j.task_services) - 1) AS place) letter
WHERE j.kind = 'check' AND (letter.code <> 0 OR j.state = 'finished')
GROUP BY j.sweep_id, s.started_at, v.name, v.site, letter.code;
COMMENT ON VIEW report.outcome IS 'How many flows of a vantage came to which outcome in a sweep, for as long as observations are kept. Quick: no observation is read.';
COMMENT ON COLUMN report.outcome.flows IS 'Number of flows.';

CREATE VIEW report.span AS
SELECT v.name AS vantage, v.site, v.subnet, coalesce(nullif(t.host, ''), host(t.address)) AS target, t.address,
       n.name AS service, outcome_of(r.outcome) AS outcome, r.by, r.first_seen, r.first_sweep, r.last_seen, r.last_sweep,
       r.sweeps, r.newest
FROM span p
CROSS JOIN LATERAL (
    SELECT *, true AS newest
    FROM unnest(p.services, p.outcomes, p.bys, p.first_seens, p.first_sweeps, p.last_seens, p.last_sweeps, p.sweeps)
         AS c (service_id, outcome, by, first_seen, first_sweep, last_seen, last_sweep, sweeps)
    UNION ALL
    SELECT *, false FROM unnest(p.ended)) r
JOIN vantage v ON v.id = p.vantage_id
JOIN target t ON t.id = p.target_id
JOIN service n ON n.id = r.service_id;
COMMENT ON VIEW report.span IS 'Runs of equal outcome of each flow, of all time. Name a vantage, a target or newest where it matters how long it takes.';
COMMENT ON COLUMN report.span.first_seen IS 'When the observation that began the run was made, in the sweep first_sweep.';
COMMENT ON COLUMN report.span.last_seen IS 'When the newest observation of the run was made.';
COMMENT ON COLUMN report.span.sweeps IS 'How many sweeps saw it.';
COMMENT ON COLUMN report.span.newest IS 'No other run of the flow began later: what the flow looks like now.';

CREATE VIEW report.check_result AS
SELECT r.sweep_id AS sweep, v.name AS vantage, v.site, d.name AS domain,
       coalesce(nullif(t.host, ''), host(t.address)) AS target, r.computer, r.kind AS "check", r.status, r.facts,
       r.observed_at
FROM check_result r
JOIN vantage v ON v.id = r.vantage_id
JOIN domain d ON d.id = r.domain_id
LEFT JOIN target t ON t.id = r.target_id;
COMMENT ON VIEW report.check_result IS 'One row per check of a vantage that was done, for as long as observations are kept.';
COMMENT ON COLUMN report.check_result.status IS 'ok, warning, problem or unknown.';
COMMENT ON COLUMN report.check_result.target IS 'Null where the check concerns the whole domain.';
