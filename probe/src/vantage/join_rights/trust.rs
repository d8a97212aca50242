//! To whom a password may be shown: a certificate that is pinned, or that an authority gave for the right name.

use std::{
    fmt, fs,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

/// Where systems keep the certificates of the authorities that they trust: Debian, Red Hat, SUSE, Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// SHA-256 of a certificate, as the fact `certificate-sha256` shows it: 64 hexadecimal digits, colons allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin([u8; 32]);

impl Pin {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut pin = [0; 32];
        pin.copy_from_slice(::ring::digest::digest(&::ring::digest::SHA256, certificate).as_ref());
        Self(pin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let mut pin = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("not the SHA-256 of a certificate: 64 hexadecimal digits".to_owned());
        }
        for (octet, place) in pin.iter_mut().zip((0..64).step_by(2)) {
            let pair = digits.get(place..place + 2).unwrap_or_default();
            *octet = u8::from_str_radix(pair, 16).map_err(|error| error.to_string())?;
        }
        Ok(Self(pin))
    }
}

/// Whom to trust. By default nobody.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    pins: Vec<Pin>,
}

impl Default for Trust {
    fn default() -> Self {
        Self { roots: Arc::new(RootCertStore::empty()), pins: Vec::new() }
    }
}

impl Trust {
    /// Authorities of a file in PEM, and certificates that are pinned. Where neither is named: the authorities that this
    /// system trusts.
    ///
    /// # Errors
    /// The file cannot be read or has no certificate; this system has no file of authorities.
    pub(crate) fn new(authorities: Option<&Path>, pins: Vec<Pin>) -> anyhow::Result<Self> {
        let roots = match authorities {
            Some(file) => roots(file)?,
            None if !pins.is_empty() => RootCertStore::empty(),
            None => {
                let file = SYSTEM.iter().map(Path::new).find(|file| file.is_file());
                roots(file.context(
                    "this system has no file of trusted authorities: name one with --ldap-ca, or pin with --ldap-pin",
                )?)?
            }
        };
        Ok(Self { roots: Arc::new(roots), pins })
    }

    /// A configuration of TLS for one connection, and where it notes what it saw. `names` are those of which the
    /// certificate must have one.
    pub(super) fn config(&self, names: Vec<ServerName<'static>>) -> Result<(ClientConfig, Arc<Seen>), Error> {
        let seen = Arc::new(Seen::default());
        let provider = Arc::new(ring::default_provider());
        let verifier =
            Verifier { trust: self.clone(), names, provider: provider.clone(), seen: seen.clone() };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok((config, seen))
    }
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut roots = RootCertStore::empty();
    let found: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    let (added, _damaged) = roots.add_parsable_certificates(found);
    if added == 0 {
        bail!("{} has no certificate of an authority in PEM", file.display());
    }
    Ok(roots)
}

/// The certificate of the other side, and whether it was refused.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(Pin, Option<Error>)>>);

impl Seen {
    fn note(&self, pin: Pin, refused: Option<Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((pin, refused));
    }

    /// The certificate's digest and why it was refused; `None` before one came.
    pub(super) fn get(&self) -> Option<(Pin, Option<Error>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    seen: Arc<Seen>,
}

impl Verifier {
    fn judge(
        &self,
        pin: Pin,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trust.pins.contains(&pin) {
            return Ok(());
        }
        if self.trust.roots.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.trust.roots.clone(), self.provider.clone())
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let mut refused = Error::InvalidCertificate(CertificateError::NotValidForName);
        for (number, name) in self.names.iter().enumerate() {
            match verifier.verify_server_cert(end_entity, intermediates, name, &[], now) {
                Ok(_) => return Ok(()),
                // Of several names the first is the one that people expect.
                Err(error) if number == 0 => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

impl ServerCertVerifier for Verifier {
    /// The name that the connection was opened with is not looked at: it may come from DNS, and DNS from anybody.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pin = Pin::of(end_entity);
        let judged = self.judge(pin, end_entity, intermediates, now);
        self.seen.note(pin, judged.clone().err());
        judged.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The names of which a certificate must have one: those that the user of this program named, never one that only DNS
/// did. The name of a host counts where it lies in the domain, and where no domain is known, because then the host was
/// named itself. Certificates of domain controllers usually have the domain's name too.
pub(super) fn names(host: Option<&str>, domain: &str, address: std::net::IpAddr) -> Vec<ServerName<'static>> {
    let dns = |name: &str| ServerName::try_from(name.to_owned()).ok();
    if domain.is_empty() {
        return match host {
            Some(host) => dns(host).into_iter().collect(),
            None => vec![ServerName::IpAddress(address.into())],
        };
    }
    let is_inside = |host: &&str| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
    host.filter(is_inside).into_iter().chain([domain]).filter_map(dns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_they_are_shown() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let pin: Pin = text.parse().unwrap();
        assert_eq!(pin.to_string(), text);
        let pairs: Vec<&str> = (0..32).map(|n| &text[2 * n..2 * n + 2]).collect();
        assert_eq!(pairs.join(":").to_uppercase().parse(), Ok(pin));
        for wrong in ["", "ba78", &text[1..], &format!("{}é", &text[2..])] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
        assert_eq!(Pin::of(&CertificateDer::from(b"abc".to_vec())), pin);
    }

    #[test]
    fn a_name_that_only_dns_gave_is_worth_nothing() {
        let address = "10.0.0.1".parse().unwrap();
        let shown = |host, domain| -> Vec<String> {
            names(host, domain, address).iter().map(|name| name.to_str().into_owned()).collect()
        };
        assert_eq!(shown(Some("dc1.corp.example"), "corp.example"), ["dc1.corp.example", "corp.example"]);
        assert_eq!(shown(Some("dc.evil.example"), "corp.example"), ["corp.example"]);
        assert_eq!(shown(Some("evilcorp.example"), "corp.example"), ["corp.example"]);
        assert_eq!(shown(Some("dc1.corp.example"), ""), ["dc1.corp.example"]);
        assert_eq!(shown(None, ""), ["10.0.0.1"]);
        assert_eq!(shown(None, "corp.example"), ["corp.example"]);
    }

    /// An authority, and a certificate that it gave for a name.
    struct Given {
        authority: CertificateDer<'static>,
        certificate: CertificateDer<'static>,
    }

    fn given(name: &str, valid: bool) -> Given {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        if !valid {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Given { authority: authority.der().clone(), certificate: certificate.der().clone() }
    }

    fn judged(given: &Given, trust: Trust, host: &str) -> Result<(), Error> {
        let names = names(Some(host), "corp.example", "10.0.0.1".parse().unwrap());
        let (provider, seen) = (Arc::new(ring::default_provider()), Arc::new(Seen::default()));
        let verifier = Verifier { trust, names, provider, seen: seen.clone() };
        let sent = ServerName::try_from(host.to_owned()).unwrap();
        let judged =
            verifier.verify_server_cert(&given.certificate, &[], &sent, &[], UnixTime::now()).map(drop);
        let (pin, refused) = seen.get().unwrap();
        assert_eq!((pin, refused), (Pin::of(&given.certificate), judged.clone().err()));
        judged
    }

    fn authority(given: &Given) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(given.authority.clone()).unwrap();
        Trust { roots: Arc::new(roots), pins: Vec::new() }
    }

    #[test]
    fn an_authority_is_believed_about_the_right_names_only() {
        let dc = given("dc1.corp.example", true);
        assert_eq!(judged(&dc, authority(&dc), "dc1.corp.example"), Ok(()));
        assert!(judged(&dc, authority(&dc), "dc2.corp.example").is_err());
        // A name that an SRV record gave, with a certificate that truly is this host's.
        let stranger = given("dc.evil.example", true);
        assert!(judged(&stranger, authority(&stranger), "dc.evil.example").is_err());
        let domain = given("corp.example", true);
        assert_eq!(judged(&domain, authority(&domain), "dc1.elsewhere.example"), Ok(()));
        let expired = given("dc1.corp.example", false);
        assert!(judged(&expired, authority(&expired), "dc1.corp.example").is_err());
        assert!(judged(&dc, authority(&stranger), "dc1.corp.example").is_err());
        assert!(judged(&dc, Trust::default(), "dc1.corp.example").is_err());
    }

    #[test]
    fn a_pinned_certificate_is_believed_whatever_its_name() {
        let (one, other) = (given("x.example", false), given("dc1.corp.example", true));
        let pinned = Trust { pins: vec![Pin::of(&one.certificate)], ..Trust::default() };
        assert_eq!(judged(&one, pinned.clone(), "dc1.corp.example"), Ok(()));
        assert!(judged(&other, pinned, "dc1.corp.example").is_err());
    }

    #[test]
    fn a_file_of_authorities_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, "no certificate").unwrap();
        assert!(Trust::new(Some(&file), Vec::new()).unwrap_err().to_string().contains("ca.pem"));
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        fs::write(&file, authority.pem()).unwrap();
        assert_eq!(Trust::new(Some(&file), Vec::new()).unwrap().roots.len(), 1);
    }
}
