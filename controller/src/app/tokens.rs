//! The administrator's token.

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

use crate::data_dir::{DataDir, write_private};

const BYTES: usize = 32;
/// Fewest characters of a token that somebody wrote into the file.
const SHORTEST: usize = 32;

/// The token in the data directory; made where there is none.
pub(super) fn admin(data: &DataDir) -> anyhow::Result<String> {
    let path = data.admin_token();
    if path.exists() {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let token = text.trim().to_owned();
        ensure!(
            token.len() >= SHORTEST && token.bytes().all(|b| b.is_ascii_graphic()),
            "{} holds no usable token (at least {SHORTEST} visible ASCII characters); remove it to get a new one",
            path.display()
        );
        return Ok(token);
    }
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).ok().context("the system gives no random numbers")?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    write_private(&path, format!("{token}\n").as_bytes())?;
    Ok(token)
}
