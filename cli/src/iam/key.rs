//! Key pairs that are made here; only the public half ever leaves this machine.

use crate::error::Error;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// RSA of 2048 bits, which the SDKs of OCI need
    Rsa,
    /// EC on P-256
    Ec,
}

/// Both halves in PEM form.
pub(crate) struct Pair {
    pub(crate) private: String,
    pub(crate) public: String,
}

/// Makes a key pair.
pub(crate) fn generate(kind: KeyKind) -> Result<Pair, Error> {
    let failed = |_| Error::Failed("cannot make a key".into());
    let (private, public) = match kind {
        KeyKind::Rsa => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(failed)?;
            let private: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
            (private.as_ref().to_vec(), public.as_ref().to_vec())
        }
        KeyKind::Ec => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            let private = pair.to_pkcs8v1().map_err(failed)?;
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
            (private.as_ref().to_vec(), public.as_ref().to_vec())
        }
    };
    Ok(Pair { private: pem("PRIVATE KEY", &private), public: pem("PUBLIC KEY", &public) })
}

/// The PEM form, in lines of 64 characters. Source: RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_in_pem_form_and_new_each_time() {
        for kind in [KeyKind::Rsa, KeyKind::Ec] {
            let (one, other) = (generate(kind).unwrap(), generate(kind).unwrap());
            assert!(one.private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
            assert!(one.public.ends_with("\n-----END PUBLIC KEY-----\n"));
            assert_ne!(one.public, other.public);
        }
    }
}
