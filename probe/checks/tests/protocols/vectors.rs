//! The vectors as they stand in the files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File<Request, Reply> {
    #[serde(default = "Vec::new")]
    pub(crate) request: Vec<Request>,
    pub(crate) reply: Vec<Reply>,
}

/// Octets, written in hexadecimal over several lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
        let octets: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| Some((pair[0].to_digit(16)? * 16 + pair.get(1)?.to_digit(16)?) as u8))
            .collect();
        octets.map(Hex).ok_or_else(|| format!("not hexadecimal: {text}"))
    }
}

fn load<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap()
}

pub(crate) fn dns() -> File<DnsRequest, DnsReply> {
    load(include_str!("../../vectors/dns.toml"))
}

pub(crate) fn kerberos() -> File<KerberosRequest, KerberosReply> {
    load(include_str!("../../vectors/kerberos.toml"))
}

pub(crate) fn cldap() -> File<CldapRequest, CldapReply> {
    load(include_str!("../../vectors/cldap.toml"))
}

pub(crate) fn ldap() -> File<LdapRequest, LdapReply> {
    load(include_str!("../../vectors/ldap.toml"))
}

pub(crate) fn rpc() -> File<RpcRequest, RpcReply> {
    load(include_str!("../../vectors/rpc.toml"))
}

pub(crate) fn smb() -> File<SmbRequest, SmbReply> {
    load(include_str!("../../vectors/smb.toml"))
}

macro_rules! plain_files {
    ($($name:ident: $reply:ty,)*) => {$(
        pub(crate) fn $name() -> File<PlainRequest, $reply> {
            load(include_str!(concat!("../../vectors/", stringify!($name), ".toml")))
        }
    )*};
}

plain_files! {
    certificate: CertificateReply,
    http: PlainReply,
    kpasswd: PlainReply,
    netbios: KindReply,
    nmf: PlainReply,
    ntlm: PlainReply,
    ntp: PlainReply,
}

macro_rules! vectors {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct $name {
            pub(crate) name: String,
            /// Where it comes from.
            pub(crate) source: String,
            pub(crate) hex: Hex,
            $(pub(crate) $field: $kind,)*
        }
    )*};
}

vectors! {
    /// What a request is made of, in the order of the arguments of its function.
    PlainRequest { arguments: Vec<String>, }
    /// What a reply says, in words of the test.
    PlainReply { says: String, }
    KindReply { kind: String, says: String, }
    CertificateReply { says: Vec<String>, }
    DnsRequest { id: u16, question: String, kind: String, recurse: bool, }
    DnsReply {
        question: String,
        kind: String,
        id: u16,
        foreign: Option<bool>,
        rcode: Option<String>,
        authoritative: Option<bool>,
        truncated: Option<bool>,
        answers: Option<Vec<String>>,
        additional: Option<Vec<String>>,
    }
    KerberosRequest { principal: String, realm: String, nonce: u32, }
    /// Without an error it is a ticket.
    KerberosReply {
        framed: bool,
        realm: String,
        error: Option<i64>,
        error_name: Option<String>,
        server_time: Option<String>,
        client_realm: Option<String>,
        text: Option<String>,
        padata: Option<Vec<i64>>,
        data: Option<usize>,
    }
    CldapRequest { id: u32, domain: Option<String>, host: String, nt_version: u32, }
    /// With `netlogon` it is the value of the attribute alone, otherwise a datagram.
    CldapReply {
        netlogon: bool,
        id: Option<i64>,
        opcode: Option<u16>,
        flags: Option<u32>,
        guid: Option<String>,
        forest: Option<String>,
        domain: Option<String>,
        host: Option<String>,
        netbios_domain: Option<String>,
        netbios_host: Option<String>,
        user: Option<String>,
        dc_site: Option<String>,
        client_site: Option<String>,
        address: Option<String>,
        next_closest_site: Option<String>,
        nt_version: Option<u32>,
    }
    LdapRequest { id: u32, attributes: Vec<String>, }
    LdapReply {
        operations: Vec<String>,
        id: i64,
        context: Option<String>,
        host: Option<String>,
        values: Option<usize>,
        code: Option<i64>,
    }
    RpcRequest { call: u32, operation: String, interface: String, }
    RpcReply { call: u32, bind: Option<RpcBind>, map: Option<RpcMap>, }
    SmbRequest { client_guid: Hex, salt: Option<Hex>, }
    SmbReply {
        status: u32,
        dialect: Option<String>,
        signing: Option<String>,
        guid: Option<String>,
        system_time: Option<String>,
        start_time: Option<String>,
        capabilities: Option<u32>,
    }
}

/// What a server says to a bind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcBind {
    pub(crate) kind: String,
    pub(crate) result: Option<u16>,
    pub(crate) reason: Option<u16>,
    pub(crate) address: Option<String>,
    pub(crate) status: Option<u32>,
}

/// What the endpoint mapper says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcMap {
    pub(crate) interface: String,
    pub(crate) ports: String,
    pub(crate) addresses: String,
    pub(crate) status: u32,
}

/// A vector, whatever its file.
pub(crate) struct Vector {
    pub(crate) source: String,
    pub(crate) hex: Vec<u8>,
}

/// Every vector of every file, by file and name.
pub(crate) fn all() -> &'static BTreeMap<String, Vector> {
    static ALL: LazyLock<BTreeMap<String, Vector>> = LazyLock::new(read);
    &ALL
}

fn read() -> BTreeMap<String, Vector> {
    let mut all = BTreeMap::new();
    macro_rules! add {
        ($($file:ident)*) => {$(
            let file = $file();
            let requests = file.request.into_iter().map(|v| ("request", v.name, v.source, v.hex.0));
            let replies = file.reply.into_iter().map(|v| ("reply", v.name, v.source, v.hex.0));
            for (kind, name, source, hex) in requests.chain(replies) {
                let twice = all.insert(format!("{} {kind}: {name}", stringify!($file)), Vector { source, hex });
                assert!(twice.is_none(), "{} {kind}: {name} is there twice", stringify!($file));
            }
        )*};
    }
    add!(certificate cldap dns http kerberos kpasswd ldap netbios nmf ntlm ntp rpc smb);
    all
}

#[test]
fn every_vector_has_a_name_of_its_own() {
    assert!(all().len() > 100);
}
