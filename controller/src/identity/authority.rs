//! The certificate authority of one controller.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject,
};
use sekisho_proto::{CONTROLLER_NAME, limits::CSR_BYTES};
use uuid::Uuid;

use crate::service::{CertificateIssuer, IssueError, Issued};

/// Validity of the authority's own certificate.
const AUTHORITY_DAYS: u32 = 3_650;
/// Validity of a server certificate; it is issued anew long before.
const SERVER_DAYS: u32 = 30;
/// Certificates begin this much earlier, for machines whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Validity of a probe's certificate where the configuration does not say. Probes renew it every day: one that has run the three
/// nights that are planned ahead without a controller can still hand them in. Who is revoked is shut out at once all the same.
pub const PROBE_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DAY: u32 = 24 * 60 * 60;
const SERIAL_BYTES: usize = 16;

/// Signs the certificates of this controller and of the probes that enrol here.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    probe_validity: Duration,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("probe_validity", &self.probe_validity).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new key and its certificate, both PEM. The name holds the controller's id, so no two are alike.
    pub(super) fn generate(id: Uuid) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = base(Timestamp::now(), Duration::from_secs(u64::from(AUTHORITY_DAYS * DAY)))?;
        params.distinguished_name = name(&format!("Sekisho controller {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok((key.serialize_pem(), certificate.pem()))
    }

    /// The authority of a key and a certificate, both PEM. Fails in words.
    pub(super) fn read(key: &str, certificate: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(key).map_err(|e| format!("the key cannot be read: {e}"))?;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|e| format!("the certificate cannot be read: {e}"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|e| format!("the certificate cannot be read: {e}"))?;
        if *parsed.public_key().raw != key.subject_public_key_info() {
            return Err("the key and the certificate do not belong together".to_owned());
        }
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|e| format!("it is no authority: {e}"))?;
        Ok(Self { issuer, certificate, probe_validity: PROBE_VALIDITY })
    }

    /// The same authority, whose probe certificates are valid for so long.
    #[must_use]
    pub fn with_probe_validity(mut self, validity: Duration) -> Self {
        self.probe_validity = validity;
        self
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for the fleet listener and its key. The chain is leaf, authority: probes that know only a hash
    /// of the authority find it there.
    ///
    /// # Errors
    /// When the cryptography refuses.
    pub fn issue_server(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rcgen::Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = base(now, Duration::from_secs(u64::from(SERVER_DAYS * DAY)))?;
        params.distinguished_name = name(CONTROLLER_NAME);
        params.subject_alt_names = vec![SanType::DnsName(CONTROLLER_NAME.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![leaf.der().clone(), self.certificate.clone()], key.into()))
    }
}

impl CertificateIssuer for Authority {
    fn issue(&self, csr_der: &[u8], probe: Uuid, now: Timestamp) -> Result<Issued, IssueError> {
        if csr_der.len() > CSR_BYTES {
            return Err(IssueError::Request(format!(
                "{} bytes, and at most {CSR_BYTES} are allowed",
                csr_der.len()
            )));
        }
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
                .map_err(|e| IssueError::Request(e.to_string()))?;
        let algorithm = request.public_key.algorithm();
        if ![&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519].contains(&algorithm) {
            return Err(IssueError::Request("the key must be ECDSA P-256 or Ed25519".to_owned()));
        }
        let failed = |e: rcgen::Error| IssueError::Authority(Box::new(e));
        let mut params = base(now, self.probe_validity).map_err(failed)?;
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        params.distinguished_name = name(&format!("Sekisho probe {probe}"));
        let uri = format!("spiffe://sekisho/probe/{probe}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(failed)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (begin, end) = validity(now, self.probe_validity);
        // Names, usages and authority of the request are not looked at: only its key is.
        request.params = params;
        let leaf = request.signed_by(&self.issuer).map_err(failed)?;
        let chain = vec![leaf.der().to_vec(), self.certificate.to_vec()];
        Ok(Issued { chain, serial, not_before: begin, not_after: end })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        self.issuer.key().sign(message).map_err(|e| IssueError::Authority(Box::new(e)))
    }
}

/// What every certificate has: validity, a random serial, and no rights.
fn base(now: Timestamp, validity_time: Duration) -> Result<CertificateParams, rcgen::Error> {
    let (begin, end) = validity(now, validity_time);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    let mut params = CertificateParams::default();
    params.not_before = epoch + since_epoch(begin);
    params.not_after = epoch + since_epoch(end);
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Whole seconds, as certificates have them.
fn validity(now: Timestamp, length: Duration) -> (Timestamp, Timestamp) {
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    let now = now.as_second();
    (at(now.saturating_sub(seconds(BACKDATE))), at(now.saturating_add(seconds(length))))
}

/// Random, positive and never shortened by DER: the bytes in the certificate are these.
fn serial() -> Result<[u8; SERIAL_BYTES], rcgen::Error> {
    let mut bytes = [0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(bytes)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
