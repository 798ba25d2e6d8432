//! One HTTP request into a pod, for probes and hooks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::netns;

/// Where a pod is reached.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its network namespace.
    pub netns: PathBuf,
    /// Its address.
    pub ip: String,
}

/// The port's number: given, or that of the container's port of this name.
///
/// # Errors
/// If there is no such port; the text is for the pod's owner.
pub fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).map_err(|_| format!("invalid port number: {number}")),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
            let number = named.map(|p| p.container_port).or_else(|| name.parse().ok());
            number.and_then(|n| u16::try_from(n).ok()).ok_or_else(|| format!("couldn't find port: {name:?}"))
        }
    }
}

/// The address of a host name that is an address already, or the pod's.
fn address(place: &Place, host: Option<&str>, port: u16) -> Result<SocketAddr, String> {
    let host = host.filter(|h| !h.is_empty()).unwrap_or(&place.ip);
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    let ip: IpAddr = host.parse().map_err(|_| format!("host {host:?} is not an address"))?;
    Ok(SocketAddr::new(ip, port))
}

/// Opens a TCP connection to the pod.
///
/// # Errors
/// If nobody answers; the text is for the pod's owner.
pub async fn dial(
    place: &Place,
    host: Option<&str>,
    port: u16,
    timeout: Duration,
) -> Result<tokio::net::TcpStream, String> {
    let address = address(place, host, port)?;
    let dialled = tokio::time::timeout(timeout, netns::connect(place.netns.clone(), address, timeout)).await;
    match dialled {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(format!("dial tcp {address}: connect: connection refused"))
        }
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::TimedOut => Err(format!("dial tcp {address}: {error}")),
        _ => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

/// Sends the request; gives the answer's status and the beginning of its body.
///
/// # Errors
/// If there is no answer in time; the text is for the pod's owner.
pub async fn get(
    place: &Place,
    container: &Container,
    action: &HTTPGetAction,
    timeout: Duration,
) -> Result<(u16, String), String> {
    let number = port(container, &action.port)?;
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(&place.ip);
    let tls = action.scheme.as_deref() == Some("HTTPS");
    let scheme = if tls { "https" } else { "http" };
    let path = action.path.as_deref().unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let url = format!("{scheme}://{host}:{number}{path}");
    let exchange = async {
        let stream = dial(place, Some(host), number, timeout).await?;
        let request = request(action, &path, &format!("{host}:{number}"))?;
        if tls {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
            let stream = insecure().connect(name, stream).await.map_err(|e| e.to_string())?;
            send(stream, request).await
        } else {
            send(stream, request).await
        }
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(result) => result.map_err(|error| format!("Get {url:?}: {error}")),
        Err(_) => {
            Err(format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        }
    }
}

fn request(action: &HTTPGetAction, path: &str, authority: &str) -> Result<hyper::Request<Empty<Bytes>>, String> {
    let mut request = hyper::Request::get(path)
        .header("user-agent", "kube-probe/1.36")
        .header("accept", "*/*")
        .header("connection", "close");
    let own = action.http_headers.as_deref().unwrap_or_default();
    if !own.iter().any(|h| h.name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority);
    }
    for header in own {
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    request.body(Empty::new()).map_err(|e| e.to_string())
}

async fn send<S>(stream: S, request: hyper::Request<Empty<Bytes>>) -> Result<(u16, String), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        // The kubelet reads at most 10 KiB of a probe's answer.
        let body = Limited::new(response.into_body(), 10 * 1024).collect().await;
        let body = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        Ok((status, body))
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        result = &mut exchange => result,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Probes do not verify certificates: pods have none that anybody outside could know.
fn insecure() -> tokio_rustls::TlsConnector {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ClientConfig>> = std::sync::OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs supports the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Arc::new(config)
    });
    tokio_rustls::TlsConnector::from(config.clone())
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
