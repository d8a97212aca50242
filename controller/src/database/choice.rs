//! Which of the servers that answered is to be worked on. Pure.
//!
//! | a server | |
//! |---|---|
//! | is a standby, or read-only | cannot be worked on |
//! | belongs to another database system than the one that is worked on | is no part of this: not gone to, unless it stands at the only place there is |
//! | has a lower timeline than was seen in its system | was replaced by a standby that was promoted: what is written there is lost |
//! | of the rest has the highest timeline | is worked on; among equals the present one, then the first in the list |
//!
//! A server that is promoted begins a timeline, always a higher one. So an old primary that still takes writes is told
//! from the one that took its place.

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Server {
    /// Identifier of its database system, which a primary and its standbys share; empty where it does not tell.
    pub(super) system: String,
    /// Its timeline; 0 where it does not tell.
    pub(super) timeline: i64,
    /// When it was started, in microseconds: the same server later has another time.
    pub(super) started: i64,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
}

/// The server that is worked on, and its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) place: usize,
    pub(super) server: Server,
}

/// Why a server is not worked on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Away(sqlx::Error),
    #[error("it did not answer in time")]
    Silent,
    #[error("it is a standby, and a controller works on the primary only")]
    Standby,
    #[error("it is read-only (default_transaction_read_only)")]
    ReadOnly,
    #[error("it belongs to another database system; restart the controller if this is what it is to work on")]
    OtherSystem,
    #[error("it is an old primary: its timeline is {timeline}, and {seen} was seen")]
    Old { timeline: i64, seen: i64 },
}

impl Fault {
    /// The same for people who were not asked who they are.
    pub(super) fn for_strangers(&self) -> String {
        match self {
            Self::Away(_) => "it cannot be asked; the log says why".to_owned(),
            Self::Silent | Self::Standby | Self::ReadOnly | Self::OtherSystem | Self::Old { .. } => {
                self.to_string()
            }
        }
    }
}

/// What came of asking a server.
pub(super) type Answer = Result<Server, Fault>;

impl Server {
    /// Whether it takes writes.
    pub(super) const fn check(&self) -> Result<(), Fault> {
        if self.is_standby {
            Err(Fault::Standby)
        } else if self.is_read_only {
            Err(Fault::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// Whether it takes writes that will not be lost, as far as `seen` tells.
    pub(super) fn check_against(&self, seen: &Self) -> Result<(), Fault> {
        self.check()?;
        if self.system == seen.system && self.timeline < seen.timeline {
            return Err(Fault::Old { timeline: self.timeline, seen: seen.timeline });
        }
        Ok(())
    }
}

/// The server to work on. Where there is none, every answer is a fault afterwards.
pub(super) fn choose(present: Option<&Present>, answers: &mut [Answer]) -> Option<Present> {
    let is_alone = answers.len() == 1;
    let mut seen = present.map(|present| present.server.clone());
    let mut best: Option<Present> = None;
    for (place, answer) in answers.iter_mut().enumerate() {
        let Ok(server) = answer else { continue };
        let fault = match &seen {
            Some(seen) if seen.system != server.system && !is_alone => {
                server.check().err().or(Some(Fault::OtherSystem))
            }
            Some(seen) => server.check_against(seen).err(),
            None => server.check().err(),
        };
        if let Some(fault) = fault {
            *answer = Err(fault);
            continue;
        }
        seen.get_or_insert_with(|| server.clone());
        let is_present = present.is_some_and(|present| present.place == place);
        let is_better = best.as_ref().is_none_or(|best| {
            server.timeline > best.server.timeline || (is_present && server.timeline == best.server.timeline)
        });
        if is_better {
            best = Some(Present { place, server: server.clone() });
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(system: &str, timeline: i64) -> Server {
        Server { system: system.to_owned(), timeline, started: 1, is_standby: false, is_read_only: false }
    }

    fn standby() -> Answer {
        Ok(Server { is_standby: true, is_read_only: true, ..server("a", 0) })
    }

    fn read_only() -> Answer {
        Ok(Server { is_read_only: true, ..server("a", 9) })
    }

    fn at(place: usize, system: &str, timeline: i64) -> Present {
        Present { place, server: server(system, timeline) }
    }

    #[test]
    fn the_rules() {
        let primary = |timeline| Ok(server("a", timeline));
        let other = |timeline| Ok(server("b", timeline));
        let silent = || Err(Fault::Silent);
        for (name, present, mut answers, expected) in [
            ("the only one", None, vec![primary(1)], Some(0)),
            ("the first that takes writes", None, vec![standby(), read_only(), primary(1)], Some(2)),
            ("of two primaries the newer one", None, vec![primary(1), primary(2)], Some(1)),
            ("a standby alone is none", None, vec![standby()], None),
            ("another system is none, however high its timeline", None, vec![primary(1), other(7)], Some(0)),
            ("servers that do not tell", None, vec![Ok(server("", 0)), Ok(server("", 0))], Some(0)),
            ("one stays", Some(at(1, "a", 2)), vec![primary(2), primary(2)], Some(1)),
            ("a standby is promoted", Some(at(0, "a", 1)), vec![silent(), primary(2)], Some(1)),
            ("and the old primary lives", Some(at(0, "a", 1)), vec![primary(1), primary(2)], Some(1)),
            ("an old primary is not gone back to", Some(at(1, "a", 2)), vec![primary(1), silent()], None),
            ("unless it was promoted again", Some(at(1, "a", 2)), vec![primary(3), silent()], Some(0)),
            ("nobody yet", Some(at(0, "a", 1)), vec![silent(), standby()], None),
            ("nor another system", Some(at(0, "a", 1)), vec![silent(), other(5)], None),
            ("but at the only place", Some(at(0, "a", 4)), vec![other(1)], Some(0)),
            ("where an old primary is none", Some(at(0, "a", 4)), vec![primary(3)], None),
        ] {
            let chosen = choose(present.as_ref(), &mut answers);
            assert_eq!(chosen.as_ref().map(|present| present.place), expected, "{name}");
            if expected.is_none() {
                assert!(answers.iter().all(Result::is_err), "{name}");
            }
        }
    }

    #[test]
    fn a_fault_says_why() {
        let mut answers = vec![Ok(server("a", 1)), standby(), Ok(server("b", 9))];
        assert_eq!(choose(Some(&at(1, "a", 2)), &mut answers), None);
        let said: Vec<String> = answers.into_iter().map(|answer| answer.unwrap_err().to_string()).collect();
        assert!(said[0].contains("its timeline is 1, and 2 was seen"), "{said:?}");
        assert!(said[1].contains("standby") && said[2].contains("another database system"), "{said:?}");
    }
}
