//! X.509 certificates (RFC 5280), as far as a report tells of them. No signature is verified here.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::reader::Error;
use super::time::Moment;

/// A certificate may have this many octets; more is refused, and everything in it is bounded by that.
pub const MAX_LENGTH: usize = 64 * 1024;

const WHAT: &str = "a certificate";
/// An object identifier of more octets has no name here and is not written out.
const MAX_OID: usize = 32;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject, the parts from left to right as they stand in it. Empty in some of Windows' templates.
    pub subject: String,
    /// Its issuer, written as the subject is.
    pub issuer: String,
    /// The common name of the subject, the last one if there are several.
    pub common_name: Option<String>,
    /// The DNS names of `subjectAltName`; `None` if it has no such extension.
    pub names: Option<Vec<String>>,
    /// First and last moment of its validity; `None` outside the years 1 to 9999.
    pub not_before: Option<Moment>,
    /// See above.
    pub not_after: Option<Moment>,
    /// The key, such as `rsa-2048` or `ec-p256`.
    pub key: String,
    /// How it is signed, such as `sha256-rsa`; an object identifier where that has no name here.
    pub signature: String,
    /// Whether it names itself as its issuer.
    pub self_signed: bool,
    /// Whether a server may use it: `extKeyUsage` says so or says nothing (RFC 5280 4.2.1.12).
    pub server_auth: bool,
}

/// Decodes one certificate in DER.
///
/// # Errors
/// The bytes are no certificate, have something after it, or are more than [`MAX_LENGTH`].
pub fn decode(der: &[u8]) -> Result<Certificate, Error> {
    if der.len() > MAX_LENGTH {
        return Err(Error::Limit(WHAT));
    }
    let malformed = Error::Malformed(WHAT);
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| malformed)?;
    if !rest.is_empty() {
        return Err(malformed);
    }
    let usage = certificate.extended_key_usage().map_err(|_| malformed)?;
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    let common_name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    Ok(Certificate {
        subject: subject.to_string(),
        issuer: issuer.to_string(),
        common_name: common_name.map(str::to_owned),
        names: names(&certificate)?,
        not_before: moment(certificate.validity().not_before),
        not_after: moment(certificate.validity().not_after),
        key: key(certificate.public_key()),
        signature: oid_name(&certificate.signature_algorithm.algorithm),
        self_signed: subject.as_raw() == issuer.as_raw(),
        server_auth: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
    })
}

fn names(certificate: &X509Certificate<'_>) -> Result<Option<Vec<String>>, Error> {
    let extension = certificate.subject_alternative_name().map_err(|_| Error::Malformed(WHAT))?;
    let dns_name = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None }
    };
    Ok(extension.map(|extension| extension.value.general_names.iter().filter_map(dns_name).collect()))
}

fn moment(time: ASN1Time) -> Option<Moment> {
    Moment::from_unix_micros(time.timestamp().checked_mul(1_000_000)?)
}

/// Name and size of a public key.
fn key(info: &SubjectPublicKeyInfo<'_>) -> String {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("rsa-{}", bits(key.modulus)),
        Ok(PublicKey::EC(_)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            curve.map_or_else(|| "ec".to_owned(), |curve| oid_name(&curve))
        }
        Ok(_) | Err(_) => oid_name(&info.algorithm.algorithm),
    }
}

/// Bits of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let mut octets = number.iter().skip_while(|octet| **octet == 0);
    match octets.next() {
        None => 0,
        Some(first) => {
            let first = usize::try_from(first.ilog2()).unwrap_or(0).saturating_add(1);
            octets.count().saturating_mul(8).saturating_add(first)
        }
    }
}

/// Names of algorithms and curves (RFC 8017 appendix C, RFC 5758 3.2, RFC 5480 2.1.1.1, RFC 8410 3).
fn oid_name(oid: &Oid<'_>) -> String {
    if oid.as_bytes().len() > MAX_OID {
        return "unknown".to_owned();
    }
    let text = oid.to_id_string();
    let name = match text.as_str() {
        "1.2.840.113549.1.1.4" => "md5-rsa",
        "1.2.840.113549.1.1.5" => "sha1-rsa",
        "1.2.840.113549.1.1.10" => "rsa-pss",
        "1.2.840.113549.1.1.11" => "sha256-rsa",
        "1.2.840.113549.1.1.12" => "sha384-rsa",
        "1.2.840.113549.1.1.13" => "sha512-rsa",
        "1.2.840.10045.4.1" => "sha1-ecdsa",
        "1.2.840.10045.4.3.2" => "sha256-ecdsa",
        "1.2.840.10045.4.3.3" => "sha384-ecdsa",
        "1.2.840.10045.4.3.4" => "sha512-ecdsa",
        "1.2.840.10045.3.1.7" => "ec-p256",
        "1.3.132.0.34" => "ec-p384",
        "1.3.132.0.35" => "ec-p521",
        "1.3.101.112" => "ed25519",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_highest_one() {
        for (number, expected) in
            [(&[0, 0x80][..], 8), (&[0x01, 0xff], 9), (&[0, 0, 0x7f, 0], 15), (&[0], 0), (&[], 0)]
        {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(&[0x30, 0]).is_err());
        assert_eq!(decode(&vec![0; MAX_LENGTH + 1]), Err(Error::Limit(WHAT)));
    }
}
