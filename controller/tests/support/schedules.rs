//! Schedules whose runs are due, without waiting for a clock: they were last looked at a while ago.

use jiff::{SignedDuration, Timestamp};
use sekisho::service::{ScheduleDetail, ScheduleRun};
use sqlx::AssertSqlSafe;

use crate::fleet::{Controller, LISTED};

/// The database's time.
pub(crate) async fn now(controller: &Controller) -> Timestamp {
    let text: String =
        sqlx::query_scalar("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
            .fetch_one(&controller.pool)
            .await
            .unwrap();
    text.parse().unwrap()
}

/// A cron expression that names the minute so long ago, once a day.
pub(crate) async fn cron_ago(controller: &Controller, minutes: i64) -> String {
    let at = now(controller).await - SignedDuration::from_mins(minutes);
    at.strftime("%-M %-H * * *").to_string()
}

/// A schedule of profile ports in UTC, with a window of two hours.
pub(crate) fn schedule(name: &str, cron: &str, more: &str) -> String {
    format!(
        "[[schedule]]\nname = \"{name}\"\ncron = \"{cron}\"\ntime_zone = \"UTC\"\nwindow = \"2h\"\nprofile = \"ports\"\n{more}\n"
    )
}

impl Controller {
    /// The listed targets and these schedules.
    pub(crate) async fn apply_schedules(&self, schedules: &[String]) {
        self.apply(&format!("{LISTED}{}", schedules.concat())).await;
    }

    /// As if nobody had looked at any schedule since then.
    pub(crate) async fn not_looked_since(&self, since: Timestamp) {
        let update = format!("UPDATE schedule SET considered_until = '{since}', look_at = '{since}'");
        sqlx::query(AssertSqlSafe(update)).execute(&self.pool).await.unwrap();
    }

    /// As if nobody had looked for so many minutes.
    pub(crate) async fn not_looked_for(&self, minutes: i64) {
        self.not_looked_since(now(self).await - SignedDuration::from_mins(minutes)).await;
    }

    pub(crate) async fn schedule(&self, name: &str) -> ScheduleDetail {
        self.services.schedule(name).await.unwrap()
    }

    /// Deals with what is due; returns the newest run of a schedule.
    pub(crate) async fn newest_run(&self, name: &str) -> ScheduleRun {
        self.services.start_due_runs().await.unwrap();
        self.schedule(name).await.runs.remove(0)
    }
}
