//! Codecs: bytes to values and back.
//!
//! Every decoder here reads bytes that a stranger wrote. So each one is a function of the bytes alone, reads through
//! [`reader::Reader`], whose every read returns a `Result`, and has limits on size, count and depth. None panics, and
//! none allocates more than a small multiple of its input.

pub mod ber;
pub mod certificate;
pub mod cldap;
pub mod dns;
pub mod http;
pub mod kerberos;
pub mod kpasswd;
pub mod ldap;
pub mod netbios;
pub mod nmf;
pub mod ntlm;
pub mod ntp;
pub mod reader;
pub mod rpc;
pub mod smb;
pub mod spnego;
pub mod time;

pub use reader::Error;
