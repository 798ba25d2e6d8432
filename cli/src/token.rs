//! Tokens: JWTs that the caller signs with its own API key; the cloud knows the public half. Nothing goes over the
//! network to make one, and no long-lived secret ever does.

use crate::{config::Profile, error::Error};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// Issuer of such tokens, and their audience if they are good for the whole cloud.
const ISSUER: &str = "hako";
/// How long a token lives. Source: OCI's `generate-token` gives 4 to 5 minutes.
const LIFE_SECONDS: i64 = 300;

/// A token for `audience`: `None` for the cloud API, a cluster's OCID for that cluster only. Gives also its end.
pub(crate) fn sign(profile: &Profile, audience: Option<&str>) -> Result<(String, jiff::Timestamp), Error> {
    let path = profile.key_file.display();
    let pem = std::fs::read(&profile.key_file).map_err(|error| {
        let (name, file) = (&profile.name, profile.file.display());
        Error::Misused(format!("cannot read the API key {path} of profile {name:?} in {file}: {error}"))
    })?;
    let (algorithm, key) = encoding_key(&pem)
        .ok_or_else(|| Error::Misused(format!("{path} is no private key (EC P-256, Ed25519 or RSA) in PEM form")))?;
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "sub": profile.user, "aud": audience.unwrap_or(ISSUER), "iat": now, "exp": now + LIFE_SECONDS,
    });
    let mut header = Header::new(algorithm);
    header.kid = Some(profile.fingerprint.clone());
    let token = jsonwebtoken::encode(&header, &claims, &key).map_err(Error::io("sign a token"))?;
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
pub(crate) fn print_credential(profile: &Profile, cluster_id: &str) -> Result<(), Error> {
    if cluster_id.parse::<domain::ClusterId>().is_err() {
        return Err(Error::Misused(format!("--cluster-id: {cluster_id:?} is not a cluster's OCID")));
    }
    let (token, end) = sign(profile, Some(cluster_id))?;
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token, "expirationTimestamp": end.to_string()},
    });
    println!("{credential}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_kinds_are_known() {
        for (algorithm, expect) in
            [(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256), (&rcgen::PKCS_ED25519, Algorithm::EdDSA)]
        {
            let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
            assert_eq!(encoding_key(pem.as_bytes()).unwrap().0, expect);
        }
        assert!(encoding_key(b"hello").is_none());
    }
}
