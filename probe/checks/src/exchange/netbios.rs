//! NetBIOS: the names of a machine, a mailslot ping, and a session.

pub(super) mod datagram;
pub(super) mod session;
pub(super) mod status;

/// The name that this machine gives itself here. It is registered nowhere.
fn own_name(nonce: u64) -> String {
    let [a, b, c, d, ..] = nonce.to_be_bytes();
    format!("SKS{:08X}", u32::from_be_bytes([a, b, c, d]))
}

/// Packet number, unlike those of other conversations.
fn number(nonce: u64) -> u16 {
    let [.., high, low] = nonce.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(16).to_be_bytes();
    u16::from_be_bytes([high, low])
}
