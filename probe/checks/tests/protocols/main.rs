//! The codecs and the exchanges against the vectors in `vectors/*.toml`: a new case is an entry there.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod exchanges;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod services;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod windows;

#[cfg(test)]
#[path = "../../fuzz/src/targets.rs"]
mod targets;
