//! Root is given up before anything else: PostgreSQL refuses to run as root, and nothing here needs it.

use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, User, chown, geteuid, setgid, setgroups, setuid};

use crate::data_dir::{DataDir, make_private};

/// Users that are tried when none is named, in this order.
const DEFAULT_USERS: [&str; 2] = ["sekisho", "postgres"];

/// Why root could not be given up. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The named user is not there.
    #[error(
        "--user {0}: there is no such user; make it with: useradd --system --home-dir /var/lib/sekisho --shell /usr/sbin/nologin {0}"
    )]
    NoSuchUser(String),
    /// The named user is root.
    #[error("--user {0}: that is root; name an ordinary user, or leave --user out")]
    Root(String),
    /// Only root can become somebody else.
    #[error("--user {0}: only root can change the user; start as root, or as {0} without --user")]
    NotRoot(String),
    /// No user to change to.
    #[error(
        "running as root, and there is neither a user sekisho nor a user postgres to change to. Make one and start again:\n  \
         useradd --system --home-dir /var/lib/sekisho --shell /usr/sbin/nologin sekisho\n\
         or name another with --user NAME"
    )]
    NobodyToBe,
    /// The operating system refused.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The data directory could not be made.
    #[error(transparent)]
    DataDir(#[from] crate::data_dir::DataDirError),
}

/// Gives root up, if the process has it, and hands a new or empty data directory to the user it becomes: the one that
/// is named, else the owner of the data directory, else one of the usual ones.
///
/// Call it before any thread is started. Returns what to tell the operator, if there is something to tell.
///
/// # Errors
/// When there is no user to become, or the system refuses.
pub fn drop_root(wanted: Option<&str>, data: &DataDir) -> Result<Option<String>, PrivilegeError> {
    if !geteuid().is_root() {
        return match wanted {
            Some(name) if find(name)?.is_none_or(|user| user.uid != geteuid()) => {
                Err(PrivilegeError::NotRoot(name.to_owned()))
            }
            Some(_) | None => Ok(None),
        };
    }
    let user = match (wanted, owner(data)?) {
        (None, Some(owner)) => owner,
        _ => choose(wanted)?,
    };
    hand_over(data, &user)?;
    let became = || format!("become user {}", user.name);
    setgroups(&[user.gid]).map_err(|e| system(became(), e))?;
    setgid(user.gid).map_err(|e| system(became(), e))?;
    setuid(user.uid).map_err(|e| system(became(), e))?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(system(format!("give root up for user {}", user.name), nix::errno::Errno::EPERM));
    }
    let told = wanted
        .is_none()
        .then(|| format!("running as user {} instead of root; choose another with --user", user.name));
    Ok(told)
}

fn choose(wanted: Option<&str>) -> Result<User, PrivilegeError> {
    let user = match wanted {
        Some(name) => find(name)?.ok_or_else(|| PrivilegeError::NoSuchUser(name.to_owned()))?,
        None => {
            let mut found = None;
            for name in DEFAULT_USERS {
                found = find(name)?;
                if found.is_some() {
                    break;
                }
            }
            found.ok_or(PrivilegeError::NobodyToBe)?
        }
    };
    if user.uid.is_root() { Err(PrivilegeError::Root(user.name)) } else { Ok(user) }
}

/// Who owns the data directory already, unless that is root: whoever ran the controller before runs it again.
fn owner(data: &DataDir) -> Result<Option<User>, PrivilegeError> {
    let Ok(found) = std::fs::symlink_metadata(data.path()) else { return Ok(None) };
    let user =
        User::from_uid(Uid::from_raw(found.uid())).map_err(|e| system("look up the owner".to_owned(), e))?;
    Ok(user.filter(|user| !user.uid.is_root()))
}

fn find(name: &str) -> Result<Option<User>, PrivilegeError> {
    User::from_name(name).map_err(|e| system(format!("look up user {name}"), e))
}

/// A directory that exists and has content keeps its owner: the check of the data directory then says what is wrong.
fn hand_over(data: &DataDir, user: &User) -> Result<(), PrivilegeError> {
    let path = data.path();
    if !path.exists() {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| PrivilegeError::System {
                action: format!("make {}", parent.display()),
                source,
            })?;
        }
        make_private(path)?;
    }
    let owner = std::fs::symlink_metadata(path)
        .map_err(|source| PrivilegeError::System { action: format!("look at {}", path.display()), source })?
        .uid();
    if owner == 0 && data.is_empty()? {
        let (uid, gid): (Uid, Gid) = (user.uid, user.gid);
        chown(path, Some(uid), Some(gid))
            .map_err(|e| system(format!("hand {} to user {}", path.display(), user.name), e))?;
    }
    Ok(())
}

fn system(action: String, errno: nix::errno::Errno) -> PrivilegeError {
    PrivilegeError::System { action, source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_never_what_one_becomes() {
        assert!(matches!(choose(Some("root")), Err(PrivilegeError::Root(_))));
        assert!(matches!(choose(Some("no-such-user")), Err(PrivilegeError::NoSuchUser(_))));
    }
}
