//! The codecs and the exchanges against the vectors in `vectors/*.toml`: a new case is an entry there.

#[cfg(test)]
mod exchanges;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod vectors;
