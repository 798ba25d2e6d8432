//! Certificates and keys: an internal CA for the services' identities, a public CA for the gateway,
//! the administrator's signing key and the key that secrets are encrypted with. Made once, kept.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use crate::layout::Layout;

/// Names of the internal CA's and the public CA's files in `pki/`.
pub(crate) const INTERNAL_CA: &str = "internal-ca";
pub(crate) const PUBLIC_CA: &str = "public-ca";

/// Certificate and key files of one name.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where the certificate and key called `name` are.
pub(crate) fn files(layout: &Layout, name: &str) -> Files {
    let file = name.replace(':', "-");
    Files { certificate: layout.pki(&format!("{file}.crt")), key: layout.pki(&format!("{file}.key")) }
}

/// Makes a CA unless it is there.
pub(crate) fn authority(layout: &Layout, name: &str) -> anyhow::Result<()> {
    let files = files(layout, name);
    if files.certificate.exists() && files.key.exists() {
        return Ok(());
    }
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = distinguished_name(&format!("Hakobune {name} {}", layout.id));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut parameters);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters.self_signed(&key)?;
    Layout::write_secret(&files.key, key.serialize_pem().as_bytes())?;
    std::fs::write(&files.certificate, certificate.pem())?;
    Ok(())
}

/// Issues a certificate for `name` unless it is there with these names; good for a server with them, and for a client.
pub(crate) fn issue(layout: &Layout, ca: &str, name: &str, sans: &[String]) -> anyhow::Result<Files> {
    let made = files(layout, name);
    let (names, wanted) = (made.certificate.with_extension("names"), sans.join("\n"));
    let is_same = || std::fs::read_to_string(&names).is_ok_and(|old| old == wanted);
    if made.certificate.exists() && made.key.exists() && is_same() {
        return Ok(made);
    }
    let authority = files(layout, ca);
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()));
    let issuer = Issuer::from_ca_cert_pem(&read(&authority.certificate)?, KeyPair::from_pem(&read(&authority.key)?)?)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = distinguished_name(name);
    parameters.subject_alt_names = sans.iter().map(|s| alternative(s)).collect::<anyhow::Result<_>>()?;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    validity(&mut parameters);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    Layout::write_secret(&made.key, key.serialize_pem().as_bytes())?;
    std::fs::write(&made.certificate, certificate.pem())?;
    std::fs::write(names, wanted)?;
    Ok(made)
}

/// Makes an RSA key pair as OCI's clients use it (PKCS #8 PEM) unless it is there; its public half goes to `.pub`.
pub(crate) fn api_key(path: &std::path::Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    std::fs::write(path.with_extension("pub"), key.public_key_pem())?;
    // The label keeps `oci` from warning that the file could be taken for another kind of key.
    Layout::write_secret(path, format!("{}OCI_API_KEY\n", key.serialize_pem()).as_bytes())
}

/// Makes an ES256 key pair (PKCS #8 PEM) unless it is there; its public half goes to `.pub`.
pub(crate) fn signing_key(path: &std::path::Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    std::fs::write(path.with_extension("pub"), key.public_key_pem())?;
    Layout::write_secret(path, key.serialize_pem().as_bytes())
}

/// Makes a file of `length` random bytes unless it is there.
pub(crate) fn random_file(path: &std::path::Path, length: usize) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system's random source fails"))?;
    Layout::write_secret(path, &bytes)
}

/// Makes a file with a random password (40 hexadecimal digits) unless it is there, and reads it.
pub(crate) fn password(path: &std::path::Path) -> anyhow::Result<String> {
    if !path.exists() {
        let mut bytes = [0; 20];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system's random source fails"))?;
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Layout::write_secret(path, text.as_bytes())?;
    }
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn alternative(name: &str) -> anyhow::Result<SanType> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().with_context(|| format!("{name:?} is no DNS name"))?),
    })
}

/// From a fixed day in the past (clocks differ) for about twenty years: a cloud on one machine rotates nothing.
fn validity(parameters: &mut CertificateParams) {
    parameters.not_before = rcgen::date_time_ymd(2025, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2045, 1, 1);
}
