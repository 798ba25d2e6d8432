//! `hako login` with an identity provider of ours: RFC 8628 from the first word to the renewal.

use crate::server::{Asked, Server, json, told};
use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{os::unix::fs::PermissionsExt, time::SystemTime};

/// A token that ends in so many seconds; nobody verifies it here.
fn token(name: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = format!(r#"{{"sub": "{name}", "exp": {}}}"#, now + seconds);
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// The provider: the caller agrees after the first question; the first token has ended when it is given.
fn provider(url: &str, asked: &Asked, questions: usize) -> Response {
    match asked.line.as_str() {
        "GET /.well-known/openid-configuration" => json(
            200,
            &format!(
                r#"{{"issuer": "{url}", "token_endpoint": "{url}/token", "device_authorization_endpoint": "{url}/device"}}"#
            ),
        ),
        "POST /device" => json(
            200,
            r#"{"device_code": "d", "user_code": "ABCD-1234", "verification_uri": "https://id/x", "expires_in": 60, "interval": 0}"#,
        ),
        "POST /token" if asked.body.contains("refresh_token=r1") => {
            json(200, &format!(r#"{{"id_token": "{}", "refresh_token": "r2"}}"#, token("second", 600)))
        }
        "POST /token" if questions < 3 => json(400, r#"{"error": "authorization_pending"}"#),
        "POST /token" => json(
            200,
            &format!(r#"{{"access_token": "no", "id_token": "{}", "refresh_token": "r1"}}"#, token("first", 0)),
        ),
        _ => json(404, "{}"),
    }
}

/// A provider that knows its own address.
fn start(name: &str, answer: impl Fn(&str, &Asked, usize) -> Response + Send + Sync + 'static) -> Server {
    let url = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&url);
    let server = Server::start(name, false, move |asked, before| answer(known.get().unwrap(), asked, before));
    url.set(server.url.clone()).unwrap();
    server
}

#[test]
fn a_login_is_kept_for_its_owner_and_renewed() {
    let id = start("provider", provider);
    let cloud = Server::start("cloud", true, |_, _| json(200, "[]"));
    let config = cloud.directory.join("config.toml");
    let command = |words: &[&str]| {
        let mut command = cloud.command(words);
        command.env("HAKO_CONFIG", &config);
        told(&command.output().unwrap())
    };
    std::fs::write(&config, "").unwrap();
    let (code, _, err) = command(&["login", "--profile", "alice", "--issuer", &id.url, "--client-id", "hako cli"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("https://id/x") && err.contains("ABCD-1234"), "{err}");
    assert!(id.asked().iter().any(|one| one.body.contains("client_id=hako%20cli")));

    let kept = cloud.directory.join("logins/alice.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    // The profile is made along with it, and the token that has ended is renewed, once.
    for _ in 0..2 {
        let (code, _, err) = command(&["cluster", "list", "--profile", "alice"]);
        assert_eq!(code, 0, "{err}");
    }
    let renewals = id.asked().iter().filter(|one| one.body.contains("grant_type=refresh_token")).count();
    assert_eq!(renewals, 1);
    let bearer = cloud.asked()[0].authorization.clone();
    let claims = URL_SAFE_NO_PAD.decode(bearer.split('.').nth(1).unwrap()).unwrap();
    assert!(String::from_utf8(claims).unwrap().contains("second"));

    assert_eq!(command(&["logout", "--profile", "alice"]).0, 0);
    assert!(!kept.exists());
    let (code, _, err) = command(&["cluster", "list", "--profile", "alice"]);
    assert_eq!(code, 64, "{err}");
}

#[test]
fn a_refused_login_leaves_nothing() {
    let id = start("refusing", |url, asked, before| match asked.line.as_str() {
        "POST /token" => json(400, r#"{"error": "access_denied", "error_description": "the user said no"}"#),
        _ => provider(url, asked, before),
    });
    let words = ["login", "--issuer", &id.url, "--client-id", "x", "--endpoint", "https://a", "--tenancy", "t"];
    let (code, _, err) = told(&id.command(&words).env_remove("HAKO_CA").output().unwrap());
    assert_eq!(code, 1);
    assert!(err.contains("the user said no (access_denied)"), "{err}");
    assert!(!id.directory.join(".hako").exists());
}
