//! Encryption at rest: AES-256-GCM under one key from a file. What is sealed for one place cannot be opened in another.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use std::{fmt, path::Path};

/// First byte of everything sealed; no JSON document starts with it.
const MARK: u8 = 0x01;
/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key's file cannot be read.
    #[error("cannot read the encryption key {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The key's file has another length.
    #[error("the encryption key must have {KEY_LEN} bytes, not {0}")]
    KeyLength(usize),
    /// The bytes were not sealed with this key for this place, or were changed since.
    #[error("sealed data cannot be opened: it was sealed with another key, for another place, or was changed")]
    Open,
}

/// Seals and opens under one key. Its `Debug` shows nothing of it.
pub struct Sealer {
    key: LessSafeKey,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

impl Sealer {
    /// A sealer for a key of [`KEY_LEN`] bytes.
    ///
    /// # Errors
    /// If the key has another length.
    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::KeyLength(key.len()))?;
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// Reads the key from a file of exactly [`KEY_LEN`] bytes.
    ///
    /// # Errors
    /// If the file cannot be read or has another length.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        let key = std::fs::read(path).map_err(|source| SealError::Read { path: path.display().to_string(), source })?;
        Self::new(&key)
    }

    /// Seals `plain` for `place`: a text that names where it will lie.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system gives randomness");
        let mut body = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut body)
            .expect("a body within AES-GCM's length limit seals");
        [&[MARK][..], &nonce, &body].concat()
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// If it was sealed with another key or for another place, or was changed.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(&[MARK]).filter(|rest| rest.len() >= NONCE_LEN).ok_or(SealError::Open)?;
        let (nonce, body) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut body = body.to_vec();
        let plain =
            self.key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut body).map_err(|_| SealError::Open)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place_and_unchanged() {
        let sealer = Sealer::new(&[7; KEY_LEN]).unwrap();
        let sealed = sealer.seal("a", b"secret");
        assert_eq!(sealer.open("a", &sealed).unwrap(), b"secret");
        assert!(sealer.open("b", &sealed).is_err());
        let mut changed = sealed.clone();
        changed[20] ^= 1;
        assert!(sealer.open("a", &changed).is_err());
        assert!(Sealer::new(&[8; KEY_LEN]).unwrap().open("a", &sealed).is_err());
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
    }
}
