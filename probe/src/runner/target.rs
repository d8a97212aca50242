//! One target: all its flows at once, each a control for the others.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sekisho_checks::flow::Signal;
use sekisho_model::{Facts, Outcome, Protocol, Service};
use tokio::{
    sync::{OnceCell, mpsc},
    task::JoinSet,
};

use super::{
    Observed, Task,
    flow::{self, Endpoint, Outcome as Seen, Subject},
    origin::{self, Origin, References},
    paths::{self, Spread},
    proxy::{self, Handshake},
    rpc, silence, tls,
    trace::{self, Between, Path},
    verdict,
};

/// Pause before a change is tested again.
const CONFIRM_AFTER: Duration = Duration::from_secs(2);
/// Open flows that are tested beside the changed ones: without a control it cannot be told where these end.
const CONTROLS: usize = 2;

/// A flow that was tested, and what is known of it.
pub(super) struct Tested {
    pub(super) task: Task,
    pub(super) endpoint: Endpoint,
    pub(super) seen: Seen,
    /// A device that may have swallowed its rejection.
    pub(super) rationing: Option<IpAddr>,
    /// Whose RST it was.
    pub(super) origin: Option<Origin>,
    /// Answers by source port, where they differ.
    pub(super) spread: Spread,
    /// Whose handshake it saw, where nothing else was seen and it was asked for.
    pub(super) handshake: Option<Handshake>,
    /// Where it ends.
    pub(super) between: Option<Between>,
    /// What else was found out.
    pub(super) facts: Facts,
}

impl Tested {
    /// A flow of which nothing is known but what its attempts showed.
    pub(super) const fn new(task: Task, endpoint: Endpoint, seen: Seen, facts: Facts) -> Self {
        Self {
            task,
            endpoint,
            seen,
            rationing: None,
            origin: None,
            spread: Spread { answered: 0, silent: 0 },
            handshake: None,
            between: None,
            facts,
        }
    }
}

/// A flow that could not be tested, or was answered without a test.
pub(super) struct Refused {
    pub(super) outcome: Outcome,
    pub(super) facts: Facts,
    pub(super) seen: Seen,
}

type Ended = Result<Tested, (Task, Refused)>;

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
        let (mut changed, mut controls) = (Vec::new(), Vec::new());
        for (task, observed) in round(&self.subject, &tasks).await {
            if is_change(task, observed.outcome) {
                changed.push((task, observed));
            } else {
                controls.extend((observed.outcome == Outcome::Open).then_some(task));
                self.hand_in(observed).await;
            }
        }
        if changed.is_empty() {
            return;
        }
        tokio::time::sleep(CONFIRM_AFTER).await;
        // A handshake measures the way best.
        controls.sort_by_key(|task| (task.service.transport(), task.number));
        let again = changed.iter().map(|(task, _)| *task).chain(controls.into_iter().take(CONTROLS));
        let again: Vec<Task> = again.collect();
        let mut second = round(&self.subject, &again).await;
        for (task, first) in changed {
            let again = second.iter().position(|(t, _)| t.number == task.number);
            let observed = match again.map(|place| second.swap_remove(place)) {
                Some((_, again)) => confirm(task, first, again),
                None => first,
            };
            self.hand_in(observed).await;
        }
    }

    async fn hand_in(&self, observed: Observed) {
        if self.sink.send(observed).await.is_err() {
            tracing::debug!("an observation came after the job had ended");
        }
    }
}

/// Whether the outcome is another one than the last sweep's. What was not tested is not compared.
fn is_change(task: Task, outcome: Outcome) -> bool {
    let comparable = |o: Outcome| !matches!(o, Outcome::Failed | Outcome::Missed);
    task.last.is_some_and(|last| comparable(last) && comparable(outcome) && last != outcome)
}

/// Tests the tasks once, and looks again at what is not clear, with the other flows as controls.
async fn round(subject: &Arc<Subject>, tasks: &[Task]) -> Vec<(Task, Observed)> {
    let mut flows = start(subject, tasks);
    let (mut tested, mut observed) = (Vec::new(), Vec::new());
    while let Some(ended) = flows.join_next().await {
        match ended {
            Ok(Ok(flow)) => tested.push(flow),
            Ok(Err((task, refused))) => observed.push((task, verdict::of_refused(task, refused))),
            Err(error) => {
                tracing::error!(%error, "a flow ended abnormally; its task stays unobserved");
            }
        }
    }
    tested.sort_by_key(|flow| flow.task.number);
    paths::compare(subject, &mut tested).await;
    let accepts = tested.iter().any(is_bare) && proxy::accepts_anything(subject).await;
    let references = references(subject, &tested, accepts);
    let path = match references.answered_by_target() {
        Some(reference) if accepts || tested.iter().any(|flow| needs_path(flow, subject)) => {
            Path::measure(subject, reference).await
        }
        Some(_) | None => None,
    };
    unmask(subject, &mut tested, accepts, path.as_ref()).await;
    origins(subject, &mut tested, &references, path.as_ref()).await;
    locate(subject, &mut tested, path).await;
    tls::compare(&mut tested);
    observed.extend(tested.into_iter().map(|flow| (flow.task, verdict::of(subject, flow))));
    observed
}

fn start(subject: &Arc<Subject>, tasks: &[Task]) -> JoinSet<Ended> {
    let mapper = Arc::new(OnceCell::new());
    let mut flows = JoinSet::new();
    for task in tasks.iter().copied() {
        let (subject, mapper) = (subject.clone(), mapper.clone());
        flows.spawn(async move { test(&subject, task, &mapper).await });
    }
    flows
}

/// Tests one flow. The endpoint mapper is tested once for all that need it.
async fn test(subject: &Arc<Subject>, task: Task, mapper: &OnceCell<Seen>) -> Ended {
    let service = task.service;
    let asked = || {
        let mapper = Service::catalogue().find(|s| s.protocol() == Protocol::EndpointMapper);
        flow::run(subject.clone(), Endpoint::of(mapper.unwrap_or(service)))
    };
    let endpoint = Endpoint::of(service);
    let is_interface = matches!(service.protocol(), Protocol::Rpc(_));
    let (endpoint, mut seen, facts) = if is_interface {
        match rpc::run(subject, service, mapper.get_or_init(asked).await).await {
            Ok(tested) => tested,
            Err(refused) => return Err((task, refused)),
        }
    } else if service.protocol() == Protocol::EndpointMapper {
        (endpoint, mapper.get_or_init(asked).await.clone(), Facts::new())
    } else {
        (endpoint, flow::run(subject.clone(), endpoint).await, Facts::new())
    };
    let mut rationing = None;
    match &seen.decision.signal {
        None => rationing = silence::settle(subject, endpoint, &mut seen).await,
        Some(Signal::Icmp(error)) => silence::note(error.offender, subject, endpoint),
        Some(_) => {}
    }
    Ok(Tested { rationing, ..Tested::new(task, endpoint, seen, facts) })
}

/// Whether a handshake is all that was seen of the target.
fn is_bare(flow: &Tested) -> bool {
    match &flow.seen.decision.signal {
        Some(Signal::Ended(_)) => true,
        Some(Signal::Proven(_)) => flow.endpoint.service.protocol() == Protocol::Handshake,
        Some(_) | None => false,
    }
}

/// Finds out whose the handshakes are where nothing else was seen.
async fn unmask(subject: &Arc<Subject>, tested: &mut [Tested], accepts: bool, path: Option<&Path>) {
    let ended = |flow: &Tested| matches!(flow.seen.decision.signal, Some(Signal::Ended(_)));
    if !accepts && !tested.iter().any(ended) {
        return;
    }
    let suspicion = proxy::suspicion(subject, accepts, path).await;
    for flow in tested.iter_mut().filter(|flow| is_bare(flow)) {
        flow.handshake = Some(proxy::handshake(subject, flow.endpoint, suspicion, path).await);
    }
    let is_near = |flow: &Tested| matches!(flow.handshake, Some(Handshake::Proxy(_)));
    if let Some(path) = path
        && (suspicion == proxy::Suspicion::OnTheWay || tested.iter().any(is_near))
        && !path.is_shortest(subject).await
    {
        // How far a handshake is made cannot be told.
        let suspicion = proxy::suspicion(subject, accepts, None).await;
        for flow in tested.iter_mut().filter(|flow| is_bare(flow)) {
            flow.handshake = Some(proxy::handshake(subject, flow.endpoint, suspicion, None).await);
        }
    }
}

/// Flows that show how far packets to the target travel: not those whose handshake may be somebody else's.
fn references(subject: &Subject, tested: &[Tested], accepts: bool) -> References {
    let mut references = References::default();
    for flow in tested.iter().filter(|flow| !(accepts && is_bare(flow))) {
        references.note(flow.endpoint, &flow.seen.decision, subject);
    }
    references
}

/// Finds out whose the RSTs are.
async fn origins(
    subject: &Arc<Subject>,
    tested: &mut [Tested],
    references: &References,
    path: Option<&Path>,
) {
    if !tested.iter().any(is_reset) {
        return;
    }
    let reach = references.reach(subject, path).await;
    let mut asked = JoinSet::new();
    for (place, flow) in tested.iter().enumerate().filter(|(_, flow)| is_reset(flow)) {
        let (subject, endpoint) = (subject.clone(), flow.endpoint);
        asked.spawn(async move { (place, origin::of_reset(&subject, endpoint, reach).await) });
    }
    while let Some(ended) = asked.join_next().await {
        let Ok((place, origin)) = ended else { continue };
        if let Some(flow) = tested.get_mut(place) {
            flow.origin = Some(origin);
        }
    }
    let Some(path) = path else { return };
    let is_near = |flow: &Tested| matches!(flow.origin, Some(Origin::Device(_)));
    if tested.iter().any(is_near) && !path.is_shortest(subject).await {
        for flow in tested.iter_mut().filter(|flow| is_near(flow)) {
            flow.origin = Some(Origin::Unproven);
        }
    }
    // One packet after the other: what arrives is told apart by its port.
    for flow in tested.iter_mut().filter(|flow| is_reset(flow)) {
        let Some((origin, lifetimes)) = origin::by_lifetime(subject, flow.endpoint, path).await else {
            return;
        };
        flow.facts.insert("rst-ttl".to_owned(), i64::from(lifetimes.rst).into());
        flow.facts.insert("reply-ttl".to_owned(), i64::from(lifetimes.reply).into());
        // A device that the scan found nearer than the target stays found, whatever number its RST begins with.
        if !matches!(flow.origin, Some(Origin::Device(_))) {
            flow.origin = origin.or(flow.origin);
        }
    }
}

fn is_reset(flow: &Tested) -> bool {
    matches!(flow.seen.decision.signal, Some(Signal::Reset))
}

/// Whether the way to the target must be known to say more of the flow.
fn needs_path(flow: &Tested, subject: &Subject) -> bool {
    let ended = matches!(flow.seen.decision.signal, Some(Signal::Ended(_)));
    ended || is_reset(flow) || is_blocked(flow, subject)
}

/// Whether the path blocks the flow.
fn is_blocked(flow: &Tested, subject: &Subject) -> bool {
    let is_silent = flow.seen.decision.signal.is_none();
    is_silent || verdict::outcome(flow, subject.target.address) == Outcome::Rejected
}

/// Finds out where flows that the path blocks end.
async fn locate(subject: &Arc<Subject>, tested: &mut [Tested], path: Option<Path>) {
    let path = Arc::new(path);
    let mut traces = JoinSet::new();
    for (place, flow) in tested.iter_mut().enumerate().filter(|(_, flow)| is_blocked(flow, subject)) {
        let (subject, path, endpoint) = (subject.clone(), path.clone(), flow.endpoint);
        let mut evidence = std::mem::take(&mut flow.seen.evidence);
        traces.spawn(async move {
            let between = match path.as_ref() {
                Some(path) => trace::between(&subject, endpoint, path, &mut evidence).await,
                None => trace::alone(&subject, endpoint, &mut evidence).await,
            };
            (place, between, evidence)
        });
    }
    while let Some(ended) = traces.join_next().await {
        let Ok((place, between, evidence)) = ended else { continue };
        if let Some(flow) = tested.get_mut(place) {
            flow.between = Some(between);
            flow.seen.evidence = evidence;
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
