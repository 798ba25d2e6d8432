//! Tokens: JWTs that the caller signs with its own API key; the cloud knows the public half. Nothing goes over the
//! network to make one, and no long-lived secret ever does.

use crate::{
    config::{ApiKey, Identity, Profile},
    error::Error,
    session,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// Issuer of such tokens, and their audience if they are good for the whole cloud.
const ISSUER: &str = "hako";
/// How long a token lives. Source: OCI's `generate-token` gives 4 to 5 minutes.
const LIFE_SECONDS: i64 = 300;

/// A token of the caller for `audience`: `None` for the cloud API, a cluster's OCID for that cluster only. Gives also
/// its end, if that is known.
pub(crate) async fn bearer(
    profile: &Profile,
    audience: Option<&str>,
) -> Result<(String, Option<jiff::Timestamp>), Error> {
    match &profile.identity {
        Identity::Key(key) => sign(profile, key, audience).map(|(token, end)| (token, Some(end))),
        Identity::Token(token) => Ok((token.clone(), None)),
        Identity::Login(file) => {
            session::token(file, profile.ca.as_deref()).await.map(|(token, end)| (token, Some(end)))
        }
        Identity::Nobody => Err(Error::Misused(format!(
            "profile {:?} has neither an API key nor a login\n  `hako login` logs in; `hako iam api-key generate` makes a key",
            profile.name
        ))),
    }
}

fn sign(profile: &Profile, key: &ApiKey, audience: Option<&str>) -> Result<(String, jiff::Timestamp), Error> {
    let path = key.file.display();
    let pem = std::fs::read(&key.file).map_err(|error| {
        let name = &profile.name;
        let file = profile.file.as_ref().map_or("the environment".into(), |file| file.display().to_string());
        Error::Misused(format!("cannot read the API key {path} of profile {name:?} in {file}: {error}"))
    })?;
    let (algorithm, private) = encoding_key(&pem)
        .ok_or_else(|| Error::Misused(format!("{path} is no private key (EC P-256, Ed25519 or RSA) in PEM form")))?;
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "sub": key.user, "aud": audience.unwrap_or(ISSUER), "iat": now, "exp": now + LIFE_SECONDS,
    });
    let mut header = Header::new(algorithm);
    header.kid = Some(key.fingerprint.clone());
    let token = jsonwebtoken::encode(&header, &claims, &private).map_err(Error::io("sign a token"))?;
    let end = jiff::Timestamp::from_second(now + LIFE_SECONDS).map_err(Error::io("tell the time"))?;
    Ok((token, end))
}

fn encoding_key(pem: &[u8]) -> Option<(Algorithm, EncodingKey)> {
    let ec = || EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    let ed = || EncodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    let rsa = || EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    ec().or_else(|_| ed()).or_else(|_| rsa()).ok()
}

/// Prints the credential that kubectl asks for.
/// Source of the form: Kubernetes `client.authentication.k8s.io/v1`, kind ExecCredential.
pub(crate) async fn print_credential(profile: &Profile, cluster_id: &str) -> Result<(), Error> {
    if cluster_id.parse::<domain::ClusterId>().is_err() {
        return Err(Error::Misused(format!("--cluster-id: {cluster_id:?} is not a cluster's OCID")));
    }
    let (token, end) = bearer(profile, Some(cluster_id)).await?;
    let mut status = json!({"token": token});
    if let Some(end) = end {
        status["expirationTimestamp"] = json!(end.to_string());
    }
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": status,
    });
    println!("{credential}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::key::{self, KeyKind};

    #[test]
    fn keys_of_all_kinds_are_known() {
        for (kind, expect) in [(KeyKind::Ec, Algorithm::ES256), (KeyKind::Rsa, Algorithm::RS256)] {
            let pair = key::generate(kind).unwrap();
            assert_eq!(encoding_key(pair.private.as_bytes()).unwrap().0, expect);
        }
        let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        assert_eq!(encoding_key(ed.as_bytes()).unwrap().0, Algorithm::EdDSA);
        assert!(encoding_key(b"hello").is_none());
    }

    #[test]
    fn the_label_that_oci_puts_below_a_key_is_no_harm() {
        let pem = key::generate(KeyKind::Rsa).unwrap().private + "OCI_API_KEY\n";
        assert_eq!(encoding_key(pem.as_bytes()).unwrap().0, Algorithm::RS256);
    }
}
