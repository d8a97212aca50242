//! What comes back on the wire, as `truth.toml` and the scenes write it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What comes back on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// An answer of whatever listens.
    Reply,
    /// A TCP handshake and then nothing.
    Handshake,
    /// Nothing.
    Silence,
    /// A RST that bears the target's address.
    Rst,
    /// ICMP type and code.
    Icmp(u8, u8),
    /// Nothing is sent: the port is not known, because the endpoint mapper does not answer.
    Unasked,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply => f.pad("reply"),
            Self::Handshake => f.pad("handshake"),
            Self::Silence => f.pad("silence"),
            Self::Rst => f.pad("rst"),
            Self::Icmp(kind, code) => f.pad(&format!("icmp {kind}/{code}")),
            Self::Unasked => f.pad("unasked"),
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let icmp = || {
            let (kind, code) = word.strip_prefix("icmp ")?.split_once('/')?;
            Some(Self::Icmp(kind.parse().ok()?, code.parse().ok()?))
        };
        match word.as_str() {
            "reply" => Ok(Self::Reply),
            "handshake" => Ok(Self::Handshake),
            "silence" => Ok(Self::Silence),
            "rst" => Ok(Self::Rst),
            "unasked" => Ok(Self::Unasked),
            _ => icmp().ok_or_else(|| D::Error::custom(format!("\"{word}\" is not a signal"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_round_trip_and_nonsense_is_refused() {
        #[derive(Deserialize)]
        struct Holder {
            signal: Signal,
        }
        for word in ["reply", "handshake", "silence", "rst", "icmp 3/13", "unasked"] {
            let holder: Holder = toml::from_str(&format!("signal = \"{word}\"")).unwrap();
            assert_eq!(holder.signal.to_string(), word);
        }
        for word in ["", "icmp", "icmp 3", "icmp 3/999", "nak"] {
            assert!(toml::from_str::<Holder>(&format!("signal = \"{word}\"")).is_err(), "{word}");
        }
    }
}
