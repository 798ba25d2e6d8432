//! TLS between services: one internal CA, mutual authentication, the peer's common name as identity.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::Deserialize;

/// The files that make a process somebody inside the installation. All are PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Certificate of the internal CA: whom this process believes.
    pub ca: PathBuf,
    /// This process's certificate (chain), signed by that CA.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

impl Identity {
    /// A server that admits only clients with a certificate of the internal CA; speaks h2 and HTTP/1.1.
    ///
    /// # Errors
    /// If a file can't be read or does not hold what it should.
    pub fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        install_provider();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots(&self.ca)?)).build()?;
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&self.certificate)?, private_key(&self.key)?)?;
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }

    /// As [`Self::server`], but a client without a certificate is admitted too: its peer has no common name.
    ///
    /// # Errors
    /// If a file can't be read or does not hold what it should.
    pub fn server_optional_client(&self) -> anyhow::Result<Arc<ServerConfig>> {
        install_provider();
        let roots = Arc::new(roots(&self.ca)?);
        let verifier = WebPkiClientVerifier::builder(roots).allow_unauthenticated().build()?;
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&self.certificate)?, private_key(&self.key)?)?;
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }

    /// A client that shows this identity and believes only servers of the internal CA.
    /// It offers no ALPN: HTTP libraries set their own, raw HTTP/1.1 tunnels want none.
    ///
    /// # Errors
    /// If a file can't be read or does not hold what it should.
    pub fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        install_provider();
        let config = ClientConfig::builder()
            .with_root_certificates(roots(&self.ca)?)
            .with_client_auth_cert(chain(&self.certificate)?, private_key(&self.key)?)?;
        Ok(Arc::new(config))
    }

    /// The same for a tonic channel; `domain` is the name in the server's certificate, for example `control`.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn tonic_client(&self, domain: &str) -> anyhow::Result<tonic::transport::ClientTlsConfig> {
        install_provider();
        Ok(tonic::transport::ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(read(&self.ca)?))
            .identity(tonic::transport::Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
            .domain_name(domain))
    }

    /// The same for a tonic server: clients must show a certificate of the internal CA.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn tonic_server(&self) -> anyhow::Result<tonic::transport::ServerTlsConfig> {
        install_provider();
        Ok(tonic::transport::ServerTlsConfig::new()
            .identity(tonic::transport::Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
            .client_ca_root(tonic::transport::Certificate::from_pem(read(&self.ca)?)))
    }
}

/// A server for the public: no client certificates; speaks h2 and HTTP/1.1.
///
/// # Errors
/// If a file can't be read or does not hold what it should.
pub fn public_server(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    install_provider();
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain(certificate)?, private_key(key)?)?;
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

/// The same from texts in memory.
///
/// # Errors
/// If they do not hold what they should.
pub fn public_server_from_pem(certificate: &[u8], key: &[u8]) -> anyhow::Result<Arc<ServerConfig>> {
    install_provider();
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?;
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

/// The common name of the client certificate that a gRPC call came with.
pub fn grpc_peer<T>(request: &tonic::Request<T>) -> Option<String> {
    let certificates = request.peer_certs()?;
    common_name(certificates.first()?)
}

/// The common name in a certificate's subject.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Makes aws-lc-rs the process's cryptography; safe to call any number of times.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody else installed one already: as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

/// Fills `bytes` from the cryptography provider's random source.
pub fn fill_random(bytes: &mut [u8]) {
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(bytes).expect("the system's random source works");
}

/// The certificates in a PEM file as trust anchors.
///
/// # Errors
/// If the file can't be read or holds no certificate.
pub fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in chain(path)? {
        store.add(certificate).with_context(|| format!("{} is no CA certificate", path.display()))?;
    }
    Ok(store)
}

fn chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("can't read certificates from {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).with_context(|| format!("can't read a private key from {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}
