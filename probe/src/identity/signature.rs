//! Signatures of plans: by the key of a controller that this probe trusts.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use sekisho_proto::PLAN_CONTEXT;

/// Whether the key of one of these CA certificates signed the body of a plan.
pub(crate) fn is_signed(trust: &[CertificateDer<'static>], body: &[u8], signature: &[u8]) -> bool {
    let signed = [PLAN_CONTEXT, body].concat();
    trust.iter().any(|certificate| {
        x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| {
            let key = &parsed.public_key().subject_public_key.data;
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(&signed, signature).is_ok()
        })
    })
}
