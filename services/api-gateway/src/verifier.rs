//! A registered public key, ready to verify what its owner signed.

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

/// A public key of one kind, which verifies with one algorithm.
#[derive(Clone)]
pub(crate) struct Verifier {
    /// For tokens.
    pub(crate) key: DecodingKey,
    /// The only algorithm that tokens of this key may have.
    pub(crate) algorithm: Algorithm,
    /// For request signatures, which RSA keys alone make; parsed once, as each request needs it.
    rsa: Option<ParsedPublicKey>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({:?})", self.algorithm)
    }
}

impl Verifier {
    /// Reads a public key: P-256, Ed25519 or RSA.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let pem = pem.as_bytes();
        // Each reader refuses keys of the other kinds, so a token cannot choose its own algorithm.
        let kinds: [(Algorithm, fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>); 3] = [
            (Algorithm::ES256, DecodingKey::from_ec_pem),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem),
            (Algorithm::RS256, DecodingKey::from_rsa_pem),
        ];
        let (algorithm, key) = kinds.into_iter().find_map(|(algorithm, read)| Some((algorithm, read(pem).ok()?)))?;
        let rsa = if algorithm == Algorithm::RS256 {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
            Some(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der).ok()?)
        } else {
            None
        };
        Some(Self { key, algorithm, rsa })
    }

    /// True if the owner made this `rsa-sha256` signature of `message`; never with a key that is not RSA.
    pub(crate) fn rsa_sha256(&self, message: &[u8], signature: &[u8]) -> bool {
        self.rsa.as_ref().is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }
}
