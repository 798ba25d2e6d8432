//! Logging in with an identity provider, on any device with a browser.
//! Source: RFC 8628, OAuth 2.0 Device Authorization Grant; OpenID Connect Discovery 1.0.

pub(crate) mod provider;

use crate::{
    config::{self, Connection, ProfileEntry},
    error::Error,
    session::{self, Session},
};
use clap::Args as Group;
use provider::{Asked, Provider};
use reqwest::Client;
use std::time::{Duration, Instant};

/// How to log in.
#[derive(Debug, Group)]
pub(crate) struct Login {
    /// URL of the identity provider [default: the profile's, or the last login's]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// By what the provider knows this command [default: the profile's, or the last login's]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What to ask for
    #[arg(long, default_value = "openid profile email offline_access")]
    scope: String,
    /// OCID of the tenancy, for a profile that is not there yet
    #[arg(long)]
    tenancy: Option<String>,
}

/// Logs in, and keeps what the provider gave for the profile.
pub(crate) async fn login(connection: &Connection, how: Login) -> Result<(), Error> {
    let (file, name) = config::place(connection)?;
    let entry = config::read_profile(&file, &name)?;
    let is_new = entry.is_none();
    let mut entry = entry.unwrap_or_default();
    let kept = config::login_file(&name, Some(&file), None)?;
    let last: Option<Session> = std::fs::read_to_string(&kept).ok().and_then(|text| serde_json::from_str(&text).ok());
    let told = |flag: Option<String>, of_profile: &Option<String>, of_last: Option<&String>, name: &str| {
        flag.or_else(|| of_profile.clone()).or_else(|| of_last.cloned()).ok_or_else(|| {
            Error::Misused(format!(
                "--{name} must be given; the operator of the cloud knows which identity provider it believes"
            ))
        })
    };
    let issuer = told(how.issuer, &entry.issuer, last.as_ref().map(|last| &last.issuer), "issuer")?;
    let client_id = told(how.client_id, &entry.client_id, last.as_ref().map(|last| &last.client_id), "client-id")?;
    if is_new {
        entry = ProfileEntry {
            endpoint: connection.endpoint.clone(),
            ca: connection.ca.clone(),
            tenancy: how.tenancy.or_else(config::tenancy_variable),
            compartment: connection.compartment.clone(),
            issuer: Some(issuer.clone()),
            client_id: Some(client_id.clone()),
            ..ProfileEntry::default()
        };
        let missing = if entry.endpoint.is_none() { "--endpoint" } else { "--tenancy" };
        if entry.endpoint.is_none() || entry.tenancy.is_none() {
            let file = file.display();
            return Err(Error::Misused(format!("{file} has no profile {name:?}; to make it, {missing} must be given")));
        }
    }
    let http = provider::http(connection.ca.as_deref().or(entry.ca.as_deref()))?;
    let provider = provider::discover(&http, &issuer).await?;
    let asked = provider::ask(&http, &provider, &client_id, &how.scope).await?;
    eprintln!("hako: to log in, open {} and enter the code {}", asked.verification_uri, asked.user_code);
    if let Some(complete) = &asked.verification_uri_complete {
        eprintln!("hako: or open {complete}");
    }
    let session = wait(&http, &provider, &asked, &client_id).await?;
    session::keep(&kept, &session)?;
    if is_new {
        config::add_profile(&file, &name, &entry)?;
    }
    eprintln!("hako: profile {name:?} is logged in");
    Ok(())
}

/// Asks the provider again and again whether the caller has agreed.
async fn wait(http: &Client, provider: &Provider, asked: &Asked, client_id: &str) -> Result<Session, Error> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", asked.device_code.as_str()),
        ("client_id", client_id),
    ];
    let end = Instant::now() + Duration::from_secs(asked.expires_in);
    let mut pause = asked.pause();
    while Instant::now() < end {
        tokio::time::sleep(pause).await;
        match provider::grant(http, &provider.token_endpoint, &form).await? {
            Ok(granted) => {
                let empty = Session {
                    issuer: provider.issuer.clone(),
                    client_id: client_id.to_owned(),
                    token_endpoint: provider.token_endpoint.clone(),
                    token: String::new(),
                    expires: 0,
                    refresh_token: None,
                };
                return granted.session(&empty).map_err(Error::Failed);
            }
            Err(refused) if refused.error == "authorization_pending" => {}
            // Source: RFC 8628, 3.5.
            Err(refused) if refused.error == "slow_down" => pause += Duration::from_secs(5),
            Err(refused) => return Err(Error::Failed(format!("the identity provider refused: {refused}"))),
        }
    }
    Err(Error::Failed("nobody has entered the code in time; `hako login` gives another one".into()))
}

/// Forgets the login of a profile.
pub(crate) fn logout(connection: &Connection) -> Result<(), Error> {
    let (file, name) = config::place(connection)?;
    let kept = config::login_file(&name, Some(&file), None)?;
    match std::fs::remove_file(&kept) {
        Ok(()) => eprintln!("hako: profile {name:?} is logged out"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("hako: profile {name:?} was not logged in");
        }
        Err(error) => return Err(Error::io(format!("remove {}", kept.display()))(error)),
    }
    Ok(())
}
