//! The rules of a schedule in words.

use jiff::Timestamp;

use super::Timetable;
use crate::inventory::CatchUp;

impl Timetable {
    /// What holds for every run, one sentence a line, as things stand at `at`.
    #[must_use]
    pub fn rules(&self, at: Timestamp) -> Vec<String> {
        let mut rules = vec![self.clock_rule(at)];
        if let Some(splay) = self.splay {
            rules.push(format!(
                "it starts {:#} after that time: the part that this schedule has of a splay of {splay:#}",
                self.offset
            ));
        }
        rules.push(format!(
            "a run has {:#} from that time; what is not tested by then is missed",
            self.window
        ));
        rules.push("a run is skipped while a sweep of this schedule has not ended".to_owned());
        rules.push(self.late_rule());
        rules.extend(self.not_before.map(|day| format!("there is no run before {day}")));
        rules.extend(self.not_after.map(|day| format!("the last day is {day}")));
        if !self.blackout.is_empty() {
            let days: Vec<String> = self.blackout.iter().map(ToString::to_string).collect();
            rules.push(format!("nothing is started on {}; a run that began before goes on", days.join(", ")));
        }
        rules
    }

    fn clock_rule(&self, at: Timestamp) -> String {
        if self.clock.changes(at) {
            "where the clock goes forward, a time that does not exist runs at the moment it does so; where it goes back, a \
             time that comes twice runs once, the first time"
                .to_owned()
        } else {
            "the clock of this zone is not put forward or back".to_owned()
        }
    }

    fn late_rule(&self) -> String {
        let over = match self.catch_up {
            CatchUp::Skip => "after that it is skipped",
            CatchUp::Once => "after that the newest one is caught up, with a whole window",
        };
        format!("a run that no controller could start in time is started while its window lasts; {over}")
    }
}
