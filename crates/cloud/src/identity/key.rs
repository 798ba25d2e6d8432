//! Public keys of users: read, checked, and named by their fingerprint.

use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};

/// A public key: RSA of 2048 bits or more, P-256, or Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
}

/// Why a text is no public key that we take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// No PEM, or not that of a public key.
    #[error("the key is not a public key in PEM form (-----BEGIN PUBLIC KEY-----)")]
    NotPem,
    /// A kind or size that tokens are not verified with.
    #[error("the key must be an EC key on P-256, an Ed25519 key, or an RSA key of 2048 bits or more")]
    Unsupported,
}

/// DER of the algorithm identifiers. Sources: RFC 5480 (P-256), RFC 8410 (Ed25519), RFC 8017 (RSA).
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// A SubjectPublicKeyInfo of a 2048-bit RSA key has 294 bytes.
const MIN_RSA_DER: usize = 290;

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM form.
    ///
    /// # Errors
    /// If it is not that, or of a kind that is not supported.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NotPem)?;
        let der = der.as_ref().to_vec();
        let has = |algorithm: &[u8]| der.windows(algorithm.len()).take(8).any(|window| window == algorithm);
        if has(P256) || has(ED25519) || (has(RSA) && der.len() >= MIN_RSA_DER) {
            Ok(Self { der })
        } else {
            Err(KeyError::Unsupported)
        }
    }

    /// The first 16 bytes of the DER form's SHA-256, in hexadecimal with colons: `ab:cd:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.der);
        let pairs: Vec<String> = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }

    /// The PEM form, in lines of 64 characters.
    #[must_use]
    pub fn to_pem(&self) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl pkey -pubout`; fingerprint by `openssl pkey -pubin -outform DER | sha256sum`.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn pem_round_trips() {
        let key = PublicKey::from_pem(KEY).unwrap();
        assert_eq!(key.to_pem(), KEY);
        assert_eq!(key.fingerprint().len(), 47);
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(PublicKey::from_pem("hello"), Err(KeyError::NotPem));
        let short = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VxAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_pem(short), Err(KeyError::Unsupported));
    }
}
