//! The token was made as `oci` 3.95.1 does, with the key of `signature/vector.pub`.

use super::*;
use crate::verifier::Verifier;

const TOKEN: &str = include_str!("vector.token");
const PUBLIC: &str = include_str!("../signature/vector.pub");
const AT: i64 = 2_020_109_500;

fn check(token: &str) -> Result<bool, Wrong> {
    let asked = parse(token, AT)?;
    Ok(Verifier::from_pem(PUBLIC).unwrap().rsa_sha256(&asked.message, &asked.signature.bytes))
}

fn changed(from: &str, to: &str) -> String {
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(TOKEN.trim().trim_end_matches('=')).unwrap()).unwrap();
    assert!(url.contains(from), "{url}");
    URL_SAFE_NO_PAD.encode(url.replacen(from, to, 1))
}

#[test]
fn the_token_of_oci_names_its_cluster_and_its_end() {
    assert!(is_presigned(TOKEN.trim()));
    assert_eq!(check(TOKEN.trim()), Ok(true));
    let asked = parse(TOKEN.trim(), AT + 60).unwrap();
    assert_eq!((asked.cluster.unique(), asked.expires), ("c".repeat(52).as_str(), AT + SKEW));
    assert_eq!(parse(TOKEN.trim(), AT + SKEW + 1), Err(Wrong::Skew));
}

#[test]
fn no_part_of_it_can_be_changed() {
    for (from, to) in [("local-1.oracle", "local-2.oracle"), ("cluster.hako.local-1.c", "cluster.hako.local-1.d")] {
        assert_eq!(check(&changed(from, to)), Ok(false), "{from}");
    }
    assert_eq!(check(&changed("21%3A31%3A40", "21%3A31%3A41")), Ok(false));
    for (from, to, wrong) in [
        ("https://", "http://", Wrong::Malformed),
        ("/cluster_request/", "/20180222/clusters/", Wrong::Malformed),
        ("cluster_request/ocid1.cluster", "cluster_request/ocid1.user", Wrong::Malformed),
        ("date=", "dat=", Wrong::Malformed),
        ("Signature+", "Bearer+", Wrong::Malformed),
        ("+host%22", "%22", Wrong::Unsigned("host")),
        ("Thu%2C", "x", Wrong::Date),
    ] {
        assert_eq!(check(&changed(from, to)), Err(wrong), "{from}");
    }
    for token in ["aHR0cHM6Ly8", "aHR0cHM6Ly*", "aHR0cHM6Ly9j"] {
        assert!(is_presigned(token) && check(token) == Err(Wrong::Malformed), "{token}");
    }
    assert!(!is_presigned("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"));
}
