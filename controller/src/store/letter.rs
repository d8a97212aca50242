//! Outcomes as single letters, the way observations and jobs keep them. The functions `outcome_of` and `letter_of` of the
//! database know the same ones.

use sekisho_model::Outcome;

use super::{Error, Result};

/// What stands for a task without observation.
pub(crate) const NONE: u8 = 0;

/// The letter of an outcome; `None` for `missed`, which no observation has.
pub(crate) const fn letter(outcome: Outcome) -> Option<u8> {
    Some(match outcome {
        Outcome::Open => b'o',
        Outcome::Closed => b'c',
        Outcome::Filtered => b'f',
        Outcome::Rejected => b'r',
        Outcome::Unreachable => b'u',
        Outcome::Mute => b'm',
        Outcome::Wrong => b'w',
        Outcome::Failed => b'x',
        Outcome::Missed => return None,
    })
}

/// The outcome of a letter; `missed` where there is no observation.
pub(crate) fn outcome(letter: u8) -> Result<Outcome> {
    Ok(match letter {
        NONE => Outcome::Missed,
        b'o' => Outcome::Open,
        b'c' => Outcome::Closed,
        b'f' => Outcome::Filtered,
        b'r' => Outcome::Rejected,
        b'u' => Outcome::Unreachable,
        b'm' => Outcome::Mute,
        b'w' => Outcome::Wrong,
        b'x' => Outcome::Failed,
        other => {
            let strange = format!("the letter {other:#04x} stands for no outcome that this version knows");
            return Err(Error::decode("reading an outcome", std::io::Error::other(strange)));
        }
    })
}

/// A letter as the type `"char"` of the database has it.
pub(crate) const fn char_of(letter: u8) -> i8 {
    letter.cast_signed()
}
