//! The names that a member of a domain looks up (MS-ADTS 6.3.2.3 and 6.3.6.1; the mnemonics of its 6.3.1.10), as data.

use crate::wire::dns::Kind;

/// How much a member depends on a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No domain controller is found without it.
    Required,
    /// Something works less well without it. So it is with the names of a site: the locator goes on to those of the
    /// domain.
    Expected,
}

/// A name to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// SRV, or A.
    pub kind: Kind,
    /// How much depends on it.
    pub need: Need,
    /// Where the service listens; 0 for addresses.
    pub port: u16,
    /// Its targets are what the locator of domain controllers pings.
    pub locates: bool,
}

/// What the names are made of. An empty text is not known, and names with it are not made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// DNS name of the domain.
    pub domain: String,
    /// DNS name of the forest.
    pub forest: String,
    /// GUID of the domain, as text.
    pub guid: String,
    /// Site of the client.
    pub site: String,
}

/// What is asked before anything else is known.
pub const FIRST: &str = "_ldap._tcp.dc._msdcs.";

/// D is the domain, F the forest, G the domain's GUID, S the client's site.
const TEMPLATES: [(&str, Kind, Need, u16); 19] = [
    ("_ldap._tcp.dc._msdcs.{D}", Kind::Srv, Need::Required, 389),
    ("_kerberos._tcp.dc._msdcs.{D}", Kind::Srv, Need::Required, 88),
    ("_ldap._tcp.{D}", Kind::Srv, Need::Required, 389),
    ("_ldap._tcp.pdc._msdcs.{D}", Kind::Srv, Need::Expected, 389),
    ("_ldap._tcp.{G}.domains._msdcs.{F}", Kind::Srv, Need::Expected, 389),
    ("_ldap._tcp.gc._msdcs.{F}", Kind::Srv, Need::Expected, 3268),
    ("_gc._tcp.{F}", Kind::Srv, Need::Expected, 3268),
    ("_kerberos._tcp.{D}", Kind::Srv, Need::Expected, 88),
    ("_kerberos._udp.{D}", Kind::Srv, Need::Expected, 88),
    ("_kpasswd._tcp.{D}", Kind::Srv, Need::Expected, 464),
    ("_kpasswd._udp.{D}", Kind::Srv, Need::Expected, 464),
    ("_ldap._tcp.{S}._sites.dc._msdcs.{D}", Kind::Srv, Need::Expected, 389),
    ("_kerberos._tcp.{S}._sites.dc._msdcs.{D}", Kind::Srv, Need::Expected, 88),
    ("_ldap._tcp.{S}._sites.{D}", Kind::Srv, Need::Expected, 389),
    ("_ldap._tcp.{S}._sites.gc._msdcs.{F}", Kind::Srv, Need::Expected, 3268),
    ("_gc._tcp.{S}._sites.{F}", Kind::Srv, Need::Expected, 3268),
    ("_kerberos._tcp.{S}._sites.{D}", Kind::Srv, Need::Expected, 88),
    ("{D}", Kind::A, Need::Expected, 0),
    ("gc._msdcs.{F}", Kind::A, Need::Expected, 0),
];

/// The names, the one that a join asks for first at the beginning.
#[must_use]
pub fn names(places: &Places) -> Vec<Name> {
    let parts =
        [("{D}", &places.domain), ("{F}", &places.forest), ("{G}", &places.guid), ("{S}", &places.site)];
    let made = TEMPLATES.iter().filter_map(|(template, kind, need, port)| {
        if parts.iter().any(|(part, value)| template.contains(part) && value.is_empty()) {
            return None;
        }
        let text = parts.iter().fold((*template).to_owned(), |text, (part, value)| text.replace(part, value));
        let locates = template.starts_with("_ldap") && template.ends_with(".dc._msdcs.{D}");
        Some(Name { text: text.to_lowercase(), kind: *kind, need: *need, port: *port, locates })
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_what_is_known() {
        let mut places = Places { domain: "corp.example".into(), ..Places::default() };
        let texts = |places: &Places| names(places).into_iter().map(|name| name.text).collect::<Vec<_>>();
        assert_eq!(texts(&places).len(), 9);
        assert_eq!(texts(&places)[0], format!("{FIRST}corp.example"));
        places.forest = "example".into();
        places.guid = "7813a98d-6674-4730-afd4-41e3845d00bf".into();
        assert_eq!(texts(&places).len(), 13);
        assert!(texts(&places).contains(&"_gc._tcp.example".to_owned()));
        places.site = "Tokyo".into();
        let all = texts(&places);
        assert_eq!(all.len(), 19);
        assert!(all.contains(&"_ldap._tcp.tokyo._sites.dc._msdcs.corp.example".to_owned()));
        assert!(all.iter().all(|name| !name.contains('{')));
        let locating = names(&places).into_iter().filter(|name| name.locates).count();
        assert_eq!(locating, 2, "of the domain and of the site");
    }
}
