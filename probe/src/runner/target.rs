//! One target: all its flows at once, each a control for the others.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sekisho_checks::flow::Signal;
use sekisho_model::{Facts, Outcome};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Observed, Task,
    flow::{self, Outcome as Seen, Subject},
    origin::{self, Origin, References},
    silence,
};

/// Pause before a change is tested again.
const CONFIRM_AFTER: Duration = Duration::from_secs(2);

/// The run of one target.
pub(super) struct Run {
    subject: Arc<Subject>,
    sink: mpsc::Sender<Observed>,
}

impl Run {
    pub(super) fn new(subject: Subject, sink: mpsc::Sender<Observed>) -> Self {
        Self { subject: Arc::new(subject), sink }
    }

    /// Tests every task and hands in one observation each.
    pub(super) async fn all(self, tasks: Vec<Task>) {
        let mut changed = Vec::new();
        for (task, observed) in self.round(tasks).await {
            changed.push((task, observed));
        }
        if changed.is_empty() {
            return;
        }
        tokio::time::sleep(CONFIRM_AFTER).await;
        // Nothing is compared in the second round: whatever it says is handed in.
        let again: Vec<Task> = changed.iter().map(|(task, _)| Task { last: None, ..*task }).collect();
        let mut second = self.collect(again).await;
        for (task, first) in changed {
            let again =
                second.iter().position(|o| o.number == task.number).map(|place| second.swap_remove(place));
            self.hand_in(match again {
                Some(again) => confirm(task, first, again),
                None => first,
            })
            .await;
        }
    }

    /// Tests the tasks, hands in what agrees with the last sweep and gives back what does not.
    async fn round(&self, tasks: Vec<Task>) -> Vec<(Task, Observed)> {
        let mut changed = Vec::new();
        let (mut flows, mut resets, mut references) = (self.start(&tasks), Vec::new(), References::default());
        while let Some(ended) = flows.join_next().await {
            let Ok((task, seen, rationing)) = ended else { continue };
            references.note(task.service, &seen.decision, &self.subject);
            if matches!(seen.decision.signal, Some(Signal::Reset)) {
                resets.push((task, seen));
            } else {
                let observed = self.verdict(task, seen, None, rationing);
                self.sort(task, observed, &mut changed).await;
            }
        }
        if !resets.is_empty() {
            let reach = references.reach(&self.subject).await;
            for (task, seen) in resets {
                let origin = origin::of_reset(&self.subject, task.service, reach).await;
                let observed = self.verdict(task, seen, Some(origin), None);
                self.sort(task, observed, &mut changed).await;
            }
        }
        changed
    }

    /// Tests the tasks and gives back all that was seen.
    async fn collect(&self, tasks: Vec<Task>) -> Vec<Observed> {
        let (sink, mut seen) = mpsc::channel(tasks.len().max(1));
        let run = Self { subject: self.subject.clone(), sink };
        run.round(tasks).await;
        drop(run);
        let mut all = Vec::new();
        while let Some(observed) = seen.recv().await {
            all.push(observed);
        }
        all
    }

    fn start(&self, tasks: &[Task]) -> JoinSet<(Task, Seen, Option<std::net::IpAddr>)> {
        let mut flows = JoinSet::new();
        for task in tasks.iter().copied() {
            let subject = self.subject.clone();
            flows.spawn(async move {
                let mut seen = flow::run(subject.clone(), task.service).await;
                let mut rationing = None;
                match &seen.decision.signal {
                    None => rationing = silence::settle(&subject, task.service, &mut seen).await,
                    Some(Signal::Icmp(error)) => silence::note(error.offender, &subject, task.service),
                    Some(_) => {}
                }
                (task, seen, rationing)
            });
        }
        flows
    }

    async fn sort(&self, task: Task, observed: Observed, changed: &mut Vec<(Task, Observed)>) {
        let comparable = |o: Outcome| !matches!(o, Outcome::Failed | Outcome::Missed);
        match task.last {
            Some(last) if comparable(last) && comparable(observed.outcome) && last != observed.outcome => {
                changed.push((task, observed));
            }
            _ => self.hand_in(observed).await,
        }
    }

    async fn hand_in(&self, observed: Observed) {
        if self.sink.send(observed).await.is_err() {
            tracing::debug!("an observation came after the job had ended");
        }
    }

    fn verdict(
        &self,
        task: Task,
        seen: Seen,
        origin: Option<Origin>,
        rationing: Option<std::net::IpAddr>,
    ) -> Observed {
        let local = seen.source.map(|source| source.ip());
        let mut facts = Facts::new();
        let mut fact = |name: &str, value: sekisho_model::Fact| facts.insert(name.to_owned(), value);
        if seen.decision.intermittent {
            fact("intermittent", true.into());
        }
        if seen.decision.silent > 0 && seen.decision.signal.is_some() {
            fact("silent-attempts", i64::from(seen.decision.silent).into());
        }
        if let Some(device) = rationing {
            fact("icmp-rationed-by", device.to_string().into());
        }
        let mut by = None;
        let outcome = match seen.decision.signal {
            Some(Signal::Proven(told)) => {
                facts.extend(told);
                Outcome::Open
            }
            Some(Signal::Wrong(told)) => {
                facts.extend(told);
                Outcome::Wrong
            }
            Some(Signal::Ended(ending)) => {
                fact("ended", ending.word().into());
                Outcome::Mute
            }
            Some(Signal::Icmp(error)) => {
                fact("icmp", error.describe().into());
                let outcome = error.outcome(self.subject.target.address, local).unwrap_or(Outcome::Filtered);
                by = Some(error.offender).filter(|o| outcome != Outcome::Closed && Some(*o) != local);
                outcome
            }
            Some(Signal::Reset) => match origin.unwrap_or(Origin::Unproven) {
                Origin::Device(device) => {
                    fact("rst-origin", "device".into());
                    by = device;
                    Outcome::Rejected
                }
                Origin::TargetOrLastHop => {
                    fact("rst-origin", "target-or-last-hop".into());
                    Outcome::Closed
                }
                Origin::Unproven => {
                    fact("rst-origin", "unproven".into());
                    Outcome::Closed
                }
            },
            Some(Signal::NoRoute(why)) => {
                fact("local-error", why.into());
                Outcome::Unreachable
            }
            Some(Signal::Local(why)) => {
                fact("reason", "local".into());
                fact("detail", why.into());
                Outcome::Failed
            }
            None => Outcome::Filtered,
        };
        Observed {
            number: task.number,
            outcome,
            by,
            rtt_us: seen.rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)),
            attempts: seen.evidence.made(),
            confirmed: false,
            facts,
            evidence: seen.evidence.into_attempts(),
            status: None,
            observed_at: Timestamp::now(),
        }
    }
}

/// Weighs a second test against the first and against the last sweep.
fn confirm(task: Task, first: Observed, mut second: Observed) -> Observed {
    second.attempts += first.attempts;
    if second.outcome == first.outcome {
        second.confirmed = true;
    } else {
        second.facts.insert("intermittent".to_owned(), true.into());
        second.facts.insert("also-seen".to_owned(), first.outcome.word().into());
        tracing::debug!(task = task.number, first = %first.outcome, second = %second.outcome, "a change did not repeat");
    }
    let mut evidence = first.evidence;
    evidence.append(&mut second.evidence);
    evidence.truncate(super::evidence::KEPT);
    second.evidence = evidence;
    second
}

#[cfg(test)]
mod tests {
    use sekisho_model::Service;

    use super::*;

    fn observed(outcome: Outcome) -> Observed {
        Observed { outcome, attempts: 2, ..Observed::failed(1, "test", "test") }
    }

    fn task(last: Outcome) -> Task {
        Task { number: 1, service: Service::tcp(445).unwrap(), last: Some(last) }
    }

    #[test]
    fn a_change_seen_twice_is_confirmed() {
        let both = confirm(task(Outcome::Open), observed(Outcome::Filtered), observed(Outcome::Filtered));
        assert_eq!((both.outcome, both.confirmed, both.attempts), (Outcome::Filtered, true, 4));
    }

    #[test]
    fn a_change_seen_once_is_not_a_change() {
        let back = confirm(task(Outcome::Open), observed(Outcome::Filtered), observed(Outcome::Open));
        assert_eq!((back.outcome, back.confirmed), (Outcome::Open, false));
        assert_eq!(back.facts.get("also-seen"), Some(&"filtered".into()));
    }
}
