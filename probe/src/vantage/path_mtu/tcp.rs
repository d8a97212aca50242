//! Connections: full segments to the domain controller and back.

mod trial;

use std::time::Duration;

use futures_util::{StreamExt, future::join_all, stream::FuturesOrdered};
use sekisho_checks::vantage::path_mtu::{Passage, Ways};

use self::trial::{Port, STEP, Series, Speech, Test, VERDICT, Way};
use super::{GLOBAL_CATALOG, LDAP, LEAST, Passes, Path, largest};
use crate::{
    net::path::TcpPath,
    vantage::ask::{Stream, Trouble, realm},
};

/// Where connections go, the best first: LDAP answers small and large in both directions, Kerberos small alone.
const PORTS: [Port; 3] = [
    Port { number: LDAP, speech: Speech::Ldap },
    Port { number: GLOBAL_CATALOG, speech: Speech::Ldap },
    Port { number: 88, speech: Speech::Kerberos },
];
/// The next port is tried when the ones before it have not answered for this time.
const PREFERENCE: Duration = Duration::from_millis(300);
/// What was found out with connections.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) ways: Ways,
    /// Octets of a segment's data.
    pub(super) mss: Option<u32>,
    /// The largest packet that passes, with its headers, where no larger ones are lost.
    pub(super) reached: Option<u32>,
    /// Where full packets are lost.
    lost: Option<Lost<'a>>,
    pub(super) trouble: Option<&'static str>,
}

pub(super) async fn test<'a>(path: &'a Path<'a>, domain: &str) -> Found<'a> {
    let realm = realm(domain);
    match first(path, &realm).await {
        Err(trouble) => Found { trouble: Some(trouble.word()), ..Found::default() },
        Ok((port, stream)) => {
            let known = stream.path();
            drop(stream);
            Test { path, realm, port }.run(known).await
        }
    }
}

/// The best port on which a small exchange works, and the connection. The trouble is that of the best port.
async fn first(path: &Path<'_>, realm: &str) -> Result<(Port, Stream), Trouble> {
    let mut ports: FuturesOrdered<_> = (0_u32..)
        .zip(PORTS)
        .map(|(place, port)| async move {
            tokio::time::sleep(PREFERENCE * place).await;
            let test = Test { path, realm: realm.to_owned(), port };
            test.open(None).await.map(|stream| (port, stream))
        })
        .collect();
    let mut first = None;
    while let Some(opened) = ports.next().await {
        match opened {
            Ok(opened) => return Ok(opened),
            Err(trouble) => first = first.or(Some(trouble)),
        }
    }
    Err(first.unwrap_or(Trouble::Silent))
}

impl Found<'_> {
    /// The largest packet that passes in the directions in which full ones do not. `hint`: one that may be it.
    pub(super) async fn search(&self, hint: Option<u32>) -> Option<u32> {
        let lost = self.lost.as_ref()?;
        Some(largest(lost.test.path, lost.test.path.interface_mtu?, hint, lost).await)
    }
}

impl<'a> Test<'a> {
    /// `known` is what the kernel knows of a connection over which little went.
    async fn run(self, known: Option<TcpPath>) -> Found<'a> {
        let (to, from) = tokio::join!(
            Box::pin(self.series(Way::ToTarget, None, &VERDICT)),
            Box::pin(self.series(Way::FromTarget, None, &VERDICT)),
        );
        let mut ways = Ways { to_target: to.0, from_target: from.0 };
        // A connection that sent full segments knows the path better.
        let known = to.1.or(known);
        let mss = known.map(|known| known.largest_sent.saturating_sub(self.path.tcp_headers()));
        let lost: Vec<Way> = [(Way::ToTarget, to.0), (Way::FromTarget, from.0)]
            .into_iter()
            .filter(|(_, passage)| *passage == Passage::Lost)
            .map(|(way, _)| way)
            .collect();
        if lost.is_empty() {
            let reached = to.1.and_then(|known| self.full(known));
            return Found { ways, mss, reached, ..Found::default() };
        }
        // The control after it: the same exchanges in small packets. Where they do not pass either, size is not what is wrong.
        let lost = Lost { test: self, ways: lost };
        if !lost.pass_in(LEAST, &VERDICT).await {
            for way in [&mut ways.to_target, &mut ways.from_target] {
                if *way == Passage::Lost {
                    *way = Passage::Untested;
                }
            }
            return Found { ways, mss, ..Found::default() };
        }
        Found { ways, mss, lost: Some(lost), ..Found::default() }
    }

    /// The size of a full packet, where it is the path that bounds it and not what the ends agreed on.
    fn full(&self, known: TcpPath) -> Option<u32> {
        let bound = self.path.interface_mtu.map_or(known.route_mtu, |mtu| mtu.min(known.route_mtu));
        Some(known.largest_sent).filter(|largest| *largest >= bound)
    }
}

/// Directions in which full packets are lost.
#[derive(Debug)]
struct Lost<'a> {
    test: Test<'a>,
    ways: Vec<Way>,
}

impl Lost<'_> {
    /// Whether packets of this size pass in all these directions.
    async fn pass_in(&self, size: u32, series: &Series) -> bool {
        let mss = Some(size.saturating_sub(self.test.path.tcp_headers()));
        let ways = self.ways.iter().map(|way| Box::pin(self.test.series(*way, mss, series)));
        join_all(ways).await.iter().all(|(passage, _)| *passage == Passage::Ok)
    }
}

impl Passes for Lost<'_> {
    async fn passes(&self, size: u32) -> bool {
        self.pass_in(size, &STEP).await
    }
}
