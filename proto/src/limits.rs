//! Sizes and counts that both sides check. What exceeds them is refused with a message naming the limit.

/// Largest message on the wire, bytes.
pub const MESSAGE_BYTES: usize = 1 << 20;
/// Most tasks in one job. A larger part of a sweep is split into several jobs.
pub const TASKS_PER_JOB: usize = 2_048;
/// Most checks of a vantage in one job: with as many targets and long names it stays under [`MESSAGE_BYTES`].
pub const CHECKS_PER_JOB: usize = 512;
/// Most targets in one job.
pub const TARGETS_PER_JOB: usize = 1_024;
/// Most shares of budgets in one job: of its targets, and of DNS servers that are targets.
pub const SHARES_PER_JOB: usize = 2_048;
/// Most observations in one batch.
pub const OBSERVATIONS_PER_BATCH: usize = 256;
/// Most facts in one observation.
pub const FACTS_PER_OBSERVATION: usize = 48;
/// Most bytes of one observation's facts together: of each its name, and its text or 8 bytes. What goes beyond is left
/// out, and the fact `facts-left-out` counts it.
pub const FACT_BYTES: usize = 8 * 1_024;
/// Most attempts kept as evidence of one observation.
pub const ATTEMPTS_PER_OBSERVATION: usize = 32;
/// Most targets that one discovery may return.
pub const TARGETS_PER_DISCOVERY: usize = 256;
/// Most DNS servers in one task. A controller names the first ones of a longer list.
pub const DNS_SERVERS_PER_TASK: usize = 8;
/// Longest place in a trace, bytes: what later versions of Trace Context may add is not read. A longer one is ignored.
pub const TRACEPARENT_BYTES: usize = 256;
/// Longest text in any field, bytes of UTF-8.
pub const TEXT_BYTES: usize = 1_024;
/// Largest certificate signing request, bytes.
pub const CSR_BYTES: usize = 8_192;
/// Most jobs that a probe names in its Hello.
pub const JOBS_PER_PROBE: usize = 64;
/// Most batches that a probe sends before the first of them is acknowledged.
pub const BATCHES_IN_FLIGHT: usize = 8;
/// Most problems that a probe tells in a heartbeat; further ones are left out.
pub const PROBLEMS_PER_HEARTBEAT: usize = 8;
/// Longest text of a problem, bytes; a longer one is cut.
pub const PROBLEM_BYTES: usize = 512;
/// Most addresses of controllers that a probe is told.
pub const CONTROLLERS: usize = 16;
/// Most planned jobs that a probe keeps, and names in its Hello.
pub const PLANNED_JOBS: usize = 256;
/// Most bytes of planned jobs that a probe keeps.
pub const PLANNED_BYTES: u64 = 32 << 20;
