//! The vectors were made by the Python SDK (`oci` 2.189.0) with a key that exists nowhere else.

use super::*;
use crate::verifier::Verifier;
use http::HeaderValue;
use std::fmt::Write;

const PUBLIC: &str = include_str!("vector.pub");
const GET: &str = include_str!("vector.get");
const POST: &str = include_str!("vector.post");
/// Unix seconds of the vectors' date.
const AT: i64 = 2_020_109_500;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn of_post() -> HeaderMap {
    headers(&[
        ("date", "Thu, 05 Jan 2034 21:31:40 GMT"),
        ("content-type", "application/json"),
        ("content-length", "16"),
        ("x-content-sha256", "Z16ioVJ8fq1ivbqvh0Gji8IMU7qxtHupwVq3qHui1eA="),
    ])
}

fn verify(text: &str, method: &Method, target: &str, headers: &HeaderMap, now: i64) -> Result<bool, Wrong> {
    let signature = Signature::parse(text.trim())?;
    let message = signature.message(Head { method, target, host: "10.1.2.3:6443", headers }, now)?;
    Ok(Verifier::from_pem(PUBLIC).unwrap().rsa_sha256(&message, &signature.bytes))
}

#[test]
fn what_the_sdk_signs_is_verified_and_nothing_else() {
    assert_eq!(unix_of("Thu, 05 Jan 2034 21:31:40 GMT"), Some(AT));
    let target = format!("/20180222/clusters?compartmentId=ocid1.tenancy.hako.local-1.{}&name=a%20b", "t".repeat(52));
    let date = headers(&[("date", "Thu, 05 Jan 2034 21:31:40 GMT")]);
    assert_eq!(verify(GET, &Method::GET, &target, &date, AT), Ok(true));
    assert_eq!(verify(GET, &Method::DELETE, &target, &date, AT), Ok(false));
    assert_eq!(verify(GET, &Method::GET, &target.replace("%20", "+"), &date, AT), Ok(false));
    let later = headers(&[("date", "Thu, 05 Jan 2034 21:31:41 GMT")]);
    assert_eq!(verify(GET, &Method::GET, &target, &later, AT), Ok(false));

    let target = "/20180222/clusters";
    assert_eq!(verify(POST, &Method::POST, target, &of_post(), AT), Ok(true));
    let mut longer = of_post();
    longer.insert("content-length", HeaderValue::from_static("17"));
    assert_eq!(verify(POST, &Method::POST, target, &longer, AT), Ok(false));
    let digest = body_digest(&Method::POST, &of_post()).unwrap().unwrap();
    assert_eq!(digest, aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, br#"{"name": "demo"}"#).as_ref());
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    let check = |now| verify(POST, &Method::POST, "/20180222/clusters", &of_post(), now);
    assert_eq!((check(AT - SKEW), check(AT + SKEW)), (Ok(true), Ok(true)));
    assert_eq!((check(AT - SKEW - 1), check(AT + SKEW + 1)), (Err(Wrong::Skew), Err(Wrong::Skew)));
}

#[test]
fn all_that_must_be_signed_is() {
    let with = |names: &str| {
        let text = POST.replace("date (request-target) host content-length content-type x-content-sha256", names);
        verify(&text, &Method::POST, "/20180222/clusters", &of_post(), AT)
    };
    let of_body = "content-length content-type x-content-sha256";
    for (names, missing) in [
        (format!("date host {of_body}"), "(request-target)"),
        (format!("date (request-target) {of_body}"), "host"),
        (format!("(request-target) host {of_body}"), "date"),
        ("date (request-target) host content-length content-type".into(), "x-content-sha256"),
        ("date (request-target) host".into(), "content-length"),
        (String::new(), "(request-target)"),
    ] {
        assert_eq!(with(&names), Err(Wrong::Unsigned(missing)), "{names}");
    }
    assert_eq!(with(&format!("date (request-target) host x-other {of_body}")), Err(Wrong::Missing));
    // The order is a part of what is signed.
    assert_eq!(with(&format!("host date (request-target) {of_body}")), Ok(false));
    // Another date than the one that is signed must not count.
    assert_eq!(with(&format!("x-date (request-target) host {of_body}")), Err(Wrong::Missing));
}

#[test]
fn malformed_signatures_are_told_what_is_wrong() {
    for (from, to, wrong) in [
        ("version=\"1\"", "version=\"2\"", Wrong::Malformed),
        ("rsa-sha256", "hmac-sha256", Wrong::Algorithm),
        ("algorithm=\"rsa-sha256\",", "", Wrong::Algorithm),
        ("ocid1.tenancy", "ocid1.cluster", Wrong::KeyId),
        ("ocid1.user", "ST$ocid1.user", Wrong::KeyId),
        ("/20:3b", "/x/20:3b", Wrong::KeyId),
        ("/20:3b", "/..20:3b", Wrong::KeyId),
        ("headers=", "header=", Wrong::Malformed),
        ("signature=\"", "signature=\"*", Wrong::Malformed),
        ("\",version", ",version", Wrong::Malformed),
    ] {
        let text = GET.trim().replacen(from, to, 1);
        assert_eq!(Signature::parse(&text), Err(wrong), "{text}");
    }
    for text in ["", ",", "a", "=", "\"", "version=\"1\""] {
        assert!(Signature::parse(text).is_err(), "{text}");
    }
    let mut many = String::from("algorithm=\"rsa-sha256\",headers=\"");
    (0..40).for_each(|number| write!(many, "h{number} ").unwrap());
    let rest = GET.trim().split_once("keyId").unwrap().1;
    assert_eq!(Signature::parse(&format!("{many}\",keyId{rest}")), Err(Wrong::Malformed));
    // Spaces, and an absent version, are no reason to refuse.
    let spaced = GET.trim().replace(",key", ", key").replace(",version=\"1\"", "");
    assert!(Signature::parse(&spaced).is_ok());
}

#[test]
fn a_body_needs_a_digest_where_bodies_are_signed() {
    assert_eq!(body_digest(&Method::GET, &HeaderMap::new()), Ok(None));
    assert_eq!(body_digest(&Method::DELETE, &of_post()), Ok(None));
    assert_eq!(body_digest(&Method::PUT, &HeaderMap::new()), Err(Wrong::Body));
    assert_eq!(body_digest(&Method::PUT, &headers(&[("x-content-sha256", "YWJj")])), Err(Wrong::Body));
}
