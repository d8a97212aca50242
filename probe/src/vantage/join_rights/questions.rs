//! What the directory is asked, question by question.

use sekisho_checks::{
    vantage::join_rights::{
        Account, Administrators, Computer, Container, Creation, Duplicate, Extent, Findings, Joiner, Name,
        Namesakes, Used,
    },
    wire::{
        ldap::{
            domain_of,
            session::{
                Filter, INVALID_DN_SYNTAX, NO_SUCH_OBJECT, REFERRAL, SIZE_LIMIT_EXCEEDED, SUCCESS, Scope,
                Search,
            },
        },
        security::Sid,
    },
};

use super::{
    super::Verdict,
    credentials::Credentials,
    record::Record,
    session::{Broken, Found, Session},
};

/// The server is to search no longer than this.
const SECONDS: u32 = 4;
/// The default container for computers, by its well-known GUID (MS-ADTS 6.1.1.4).
const COMPUTERS: &str = "AA312825768811D1ADED00C04FD8D5CD";
/// Accounts of a quota that are counted; Windows gives no more entries than 1000 at once.
const COUNTED: std::ops::RangeInclusive<i64> = 20..=1_000;
/// Namesakes that are looked at. Those of one name rarely are two.
const NAMESAKES: u32 = 16;
/// Domains of a forest that are counted.
const DOMAINS: u32 = 64;
/// Name of no attribute: entries alone are wanted (RFC 4511 4.5.1.8).
const NOTHING: [&str; 1] = ["1.1"];

/// Names in the directory.
struct Places {
    domain: String,
    root: String,
    configuration: String,
}

/// The domain that the other side serves, asked before anybody binds: no other domain is to see the password.
pub(super) async fn domain(session: &mut Session, expected: &str) -> Result<String, Verdict> {
    let root = session.search(&base("", &["defaultNamingContext"])).await?.single();
    let context = root.and_then(|root| root.text("defaultNamingContext"));
    match context.as_deref().and_then(domain_of) {
        Some(domain) if expected.is_empty() || domain == expected => Ok(domain),
        Some(other) => {
            let detail =
                format!("the password was not sent: the domain controller serves {other}, not {expected}");
            Err(Verdict::unknown("another-domain", detail))
        }
        None => Err(Verdict::unknown("no-domain", "the password was not sent: the server names no domain")),
    }
}

/// Asks everything. `catalog` is a session with a global catalog, or why there is none.
pub(super) async fn ask(
    session: Session,
    catalog: Result<Session, String>,
    credentials: &Credentials,
    domain: &str,
    name: Option<Name>,
) -> Result<Findings, Verdict> {
    let mut inquiry = Inquiry { session, catalog, credentials, domain };
    let (places, token) = inquiry.root().await?;
    let head = inquiry.session.search(&base(&places.domain, &HEAD)).await?.single();
    let administrators = inquiry.administrators(&places, head.as_ref()).await?;
    let sid = inquiry.joiner(&places, &token).await?;
    let creation = inquiry.creation(&places, head.as_ref(), sid.as_ref()).await?;
    let computer = match name {
        Some(name) => Some(inquiry.computer(&places, name).await?),
        None => None,
    };
    Ok(Findings { joiner: Joiner { sid, token, administrators }, creation, computer })
}

const HEAD: [&str; 3] = ["objectSid", "ms-DS-MachineAccountQuota", "wellKnownObjects"];

/// A question about one entry.
fn base<'a>(dn: &'a str, attributes: &'a [&'a str]) -> Search<'a> {
    let filter = Filter::Present("objectClass");
    Search {
        base: dn,
        scope: Scope::Base,
        filter,
        attributes,
        entries: 1,
        seconds: SECONDS,
        owner_only: false,
    }
}

/// A question about everything below an entry.
fn below<'a>(dn: &'a str, filter: Filter, attributes: &'a [&'a str], entries: u32) -> Search<'a> {
    Search { scope: Scope::Subtree, filter, entries, ..base(dn, attributes) }
}

struct Inquiry<'a> {
    session: Session,
    catalog: Result<Session, String>,
    credentials: &'a Credentials,
    domain: &'a str,
}

impl Inquiry<'_> {
    /// The names of the directory's parts, and the token of who asks.
    async fn root(&mut self) -> Result<(Places, Vec<Sid>), Verdict> {
        let wanted =
            ["defaultNamingContext", "rootDomainNamingContext", "configurationNamingContext", "tokenGroups"];
        let root = self.session.search(&base("", &wanted)).await?.single();
        let place = |name| root.as_ref().and_then(|root| root.text(name));
        let (Some(domain), Some(forest), Some(configuration)) = (
            place("defaultNamingContext"),
            place("rootDomainNamingContext"),
            place("configurationNamingContext"),
        ) else {
            return Err(Verdict::unknown(
                "strange-answer",
                "the domain controller does not name the parts of its directory",
            ));
        };
        let token = root.map(|root| root.sids("tokenGroups")).unwrap_or_default();
        Ok((Places { domain, root: forest, configuration }, token))
    }

    /// The root domain of the forest may be another, which only a global catalog knows.
    async fn administrators(
        &mut self,
        places: &Places,
        head: Option<&Record>,
    ) -> Result<Administrators, Broken> {
        let domain = head.and_then(|head| head.sid("objectSid"));
        let root = if places.root.eq_ignore_ascii_case(&places.domain) {
            domain.clone()
        } else if let Ok(catalog) = &mut self.catalog {
            let found = catalog.search(&base(&places.root, &["objectSid"])).await?;
            found.single().and_then(|root| root.sid("objectSid"))
        } else {
            None
        };
        Ok(Administrators { domain, root })
    }

    /// The account's own identifier: of the objects with its name the one whose identifier is in the token.
    async fn joiner(&mut self, places: &Places, token: &[Sid]) -> Result<Option<Sid>, Broken> {
        let user = self.credentials.user();
        let filter = match (user.split_once('\\'), user.split_once('@')) {
            (Some((_, account)), _) => Filter::text("sAMAccountName", account),
            (None, Some((account, suffix))) if suffix.eq_ignore_ascii_case(self.domain) => {
                let names =
                    vec![Filter::text("userPrincipalName", user), Filter::text("sAMAccountName", account)];
                Filter::Any(names)
            }
            (None, Some(_)) => Filter::text("userPrincipalName", user),
            (None, None) => Filter::text("sAMAccountName", user),
        };
        let found = self.session.search(&below(&places.domain, filter, &["objectSid"], 4)).await?;
        let mut own = found.records.iter().filter_map(|record| record.sid("objectSid"));
        Ok(own.find(|sid| token.contains(sid)))
    }

    async fn creation(
        &mut self,
        places: &Places,
        head: Option<&Record>,
        joiner: Option<&Sid>,
    ) -> Result<Creation, Broken> {
        let chosen = self.credentials.container().map(str::to_owned);
        let dn = chosen.clone().or_else(|| head.and_then(default_container));
        let dn = dn.unwrap_or_else(|| format!("<WKGUID={COMPUTERS},{}>", places.domain));
        let found = self.session.search(&base(&dn, &["allowedChildClassesEffective"])).await?;
        let quota = head.and_then(|head| head.number("ms-DS-MachineAccountQuota"));
        let used = self.used(places, quota, joiner).await?;
        Ok(Creation { container: container(found), chosen, quota, used })
    }

    /// How many accounts the joiner has made by its quota.
    async fn used(
        &mut self,
        places: &Places,
        quota: Option<i64>,
        joiner: Option<&Sid>,
    ) -> Result<Used, Broken> {
        let Some(joiner) = joiner else { return Ok(Used::Unknown) };
        let limit = quota.unwrap_or(0).clamp(*COUNTED.start(), *COUNTED.end());
        let filter = Filter::All(vec![
            Filter::text("objectClass", "computer"),
            Filter::Equals("ms-DS-CreatorSID", joiner.octets()),
        ]);
        let limit = u32::try_from(limit).unwrap_or(1_000);
        let found = self.session.search(&below(&places.domain, filter, &NOTHING, limit)).await?;
        let count = u32::try_from(found.records.len()).unwrap_or(u32::MAX);
        Ok(match found.code {
            SUCCESS => Used::Exactly(count),
            SIZE_LIMIT_EXCEEDED => Used::AtLeast(count),
            _ => Used::Unknown,
        })
    }

    async fn computer(&mut self, places: &Places, name: Name) -> Result<Computer, Broken> {
        let wanted = [
            "objectClass",
            "objectSid",
            "userAccountControl",
            "whenCreated",
            "pwdLastSet",
            "lastLogonTimestamp",
            "ms-DS-CreatorSID",
            "nTSecurityDescriptor",
            "allowedAttributesEffective",
        ];
        let filter = Filter::text("sAMAccountName", &name.account());
        let question = Search { owner_only: true, ..below(&places.domain, filter, &wanted, 2) };
        let found = self.session.search(&question).await?;
        let record = found.records("the computer's account")?.into_iter().next();
        let account = match &record {
            Some(record) => Some(self.account(places, record).await?),
            None => None,
        };
        let namesakes = self.namesakes(places, &name, record.as_ref()).await?;
        Ok(Computer { name, account, namesakes })
    }

    async fn account(&mut self, places: &Places, record: &Record) -> Result<Account, Broken> {
        let (creator, owner) = (record.sid("ms-DS-CreatorSID"), record.owner());
        let maker_groups = match creator.as_ref().or(owner.as_ref()) {
            Some(maker) => self.groups(places, maker).await?,
            None => None,
        };
        let writes = |name| record.has("allowedAttributesEffective", name);
        Ok(Account {
            dn: record.dn.clone(),
            classes: record.texts("objectClass").collect(),
            // It is signed in the directory.
            control: record
                .number("userAccountControl")
                .and_then(|control| u32::try_from(control & 0xffff_ffff).ok()),
            created: record.generalized("whenCreated"),
            password_set: record.filetime("pwdLastSet"),
            last_logon: record.filetime("lastLogonTimestamp"),
            creator,
            owner,
            maker_groups,
            may_write: writes("dNSHostName") && writes("servicePrincipalName"),
        })
    }

    /// The groups of an account of this domain.
    async fn groups(&mut self, places: &Places, sid: &Sid) -> Result<Option<Vec<Sid>>, Broken> {
        let filter = Filter::Equals("objectSid", sid.octets());
        let found = self.session.search(&below(&places.domain, filter, &NOTHING, 2)).await?;
        let Some(maker) = found.single() else { return Ok(None) };
        // A constructed attribute: it is given to questions about one entry only (MS-ADTS 3.1.1.4.5.19).
        let found = self.session.search(&base(&maker.dn, &["tokenGroups"])).await?;
        let groups = found.single().map(|maker| maker.sids("tokenGroups")).unwrap_or_default();
        Ok(if groups.is_empty() { None } else { Some(groups) })
    }

    async fn namesakes(
        &mut self,
        places: &Places,
        name: &Name,
        own: Option<&Record>,
    ) -> Result<Namesakes, Broken> {
        let host = name.host(self.domain);
        let spns: Vec<String> = ["HOST", "RestrictedKrbHost"]
            .iter()
            .flat_map(|service| [name.as_str(), host.as_str()].map(|host| format!("{service}/{host}")))
            .collect();
        let mut filters: Vec<Filter> =
            spns.iter().map(|spn| Filter::text("servicePrincipalName", spn)).collect();
        filters.push(Filter::text("dNSHostName", &host));
        filters.push(Filter::text("sAMAccountName", &name.account()));
        let wanted = ["objectSid", "dNSHostName", "servicePrincipalName"];
        // Accounts only: a domain controller also has an object with its host name among the sites.
        let filter = Filter::All(vec![Filter::Present("objectSid"), Filter::Any(filters)]);
        let (records, extent) = self.everywhere(places, filter, &wanted).await?;
        let is_own = |record: &Record| {
            own.is_some_and(|own| {
                own.dn.eq_ignore_ascii_case(&record.dn)
                    || own.sid("objectSid").is_some_and(|sid| record.sid("objectSid") == Some(sid))
            })
        };
        let found = records.iter().filter(|record| !is_own(record)).map(|record| Duplicate {
            dn: record.dn.clone(),
            spn: spns.iter().any(|spn| record.has("servicePrincipalName", spn)),
            host_name: record.has("dNSHostName", &host),
        });
        Ok(Namesakes { extent, found: found.collect() })
    }

    /// Searches the forest, or as much of it as can be had.
    async fn everywhere(
        &mut self,
        places: &Places,
        filter: Filter,
        wanted: &[&str],
    ) -> Result<(Vec<Record>, Extent), Broken> {
        let why = match &mut self.catalog {
            Ok(catalog) => {
                let found = catalog.search(&below("", filter.clone(), wanted, NAMESAKES)).await?;
                match found.records("the computer's names") {
                    Ok(records) => return Ok((records, Extent::Forest)),
                    Err(broken) => broken.to_string(),
                }
            }
            Err(why) => why.clone(),
        };
        let found = self.session.search(&below(&places.domain, filter, wanted, NAMESAKES)).await?;
        let records = found.records("the computer's names")?;
        let is_all = self.is_only_domain(places).await?;
        Ok((records, if is_all { Extent::OnlyDomain } else { Extent::Domain(why) }))
    }

    /// Whether the forest has this domain only: the cross-references to domains are counted (MS-ADTS 6.1.1.2.1.1.1).
    async fn is_only_domain(&mut self, places: &Places) -> Result<bool, Broken> {
        const NC_AND_DOMAIN: u32 = 3;
        let partitions = format!("CN=Partitions,{}", places.configuration);
        let filter = Filter::All(vec![
            Filter::text("objectClass", "crossRef"),
            Filter::Bits("systemFlags", NC_AND_DOMAIN),
        ]);
        let question = Search { scope: Scope::Children, ..below(&partitions, filter, &NOTHING, DOMAINS) };
        let found = self.session.search(&question).await?;
        Ok(found.code == SUCCESS && found.records.len() == 1)
    }
}

/// Where accounts are made if nothing else is said: administrators may have redirected it.
fn default_container(head: &Record) -> Option<String> {
    let prefix = format!("B:32:{COMPUTERS}:");
    head.texts("wellKnownObjects").find_map(|value| value.strip_prefix(&prefix).map(str::to_owned))
}

fn container(found: Found) -> Container {
    let code = found.code;
    match (code, found.single()) {
        (SUCCESS, Some(record)) => {
            let may_create = record.has("allowedChildClassesEffective", "computer");
            Container::Found { dn: record.dn, may_create }
        }
        (SUCCESS | NO_SUCH_OBJECT, _) => Container::Missing,
        (INVALID_DN_SYNTAX, _) => Container::Malformed,
        (REFERRAL, _) => Container::Elsewhere,
        (code, _) => Container::Refused(code),
    }
}
