//! What `hako login` got: the token of an identity provider, kept in a file of the caller's own and renewed there.

use crate::{error::Error, login::provider};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A token is renewed so long before its end, in seconds: the request that it goes with must still arrive in time.
const EARLY: i64 = 60;

/// A login as its file holds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) token_endpoint: String,
    pub(crate) token: String,
    /// Unix seconds at which the token ends.
    pub(crate) expires: i64,
    pub(crate) refresh_token: Option<String>,
}

impl Session {
    /// True while the token can be sent.
    pub(crate) fn is_fresh(&self, now: i64) -> bool {
        self.expires - EARLY > now
    }
}

/// Keeps a login, in place of the one before.
pub(crate) fn keep(path: &Path, session: &Session) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(format!("write {}", path.display()))(error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = open.map_err(failed)?;
    file.lock().map_err(failed)?;
    replace(&mut file, session).map_err(failed)
}

/// The token of a login, and its end; renewed if need be, by one process at a time.
pub(crate) async fn token(path: &Path, ca: Option<&Path>) -> Result<(String, jiff::Timestamp), Error> {
    let failed = |error: std::io::Error| Error::io(format!("use the login in {}", path.display()))(error);
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    // A provider may take a refresh token only once.
    file.lock().map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let mut session: Session = serde_json::from_str(&text).map_err(|error| {
        Error::Misused(format!("{} is no login: {error}; `hako login` makes a new one", path.display()))
    })?;
    if !session.is_fresh(jiff::Timestamp::now().as_second()) {
        session = renewed(&session, ca).await?;
        replace(&mut file, &session).map_err(failed)?;
    }
    let end = jiff::Timestamp::from_second(session.expires).map_err(Error::io("tell the time"))?;
    Ok((session.token, end))
}

async fn renewed(session: &Session, ca: Option<&Path>) -> Result<Session, Error> {
    let over = |why: String| Error::Misused(format!("the login is over: {why}\n  `hako login` logs in again"));
    let Some(refresh_token) = &session.refresh_token else {
        return Err(over("it has ended, and the identity provider gave nothing to renew it with".into()));
    };
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("client_id", &session.client_id)];
    match provider::grant(&provider::http(ca)?, &session.token_endpoint, &form).await? {
        Ok(granted) => granted.session(session).map_err(over),
        Err(refused) => Err(over(refused.to_string())),
    }
}

fn replace(file: &mut File, session: &Session) -> std::io::Result<()> {
    let text = serde_json::to_string(session)?;
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
