//! A server that answers as it is told to, and tells what it was asked.

use axum::{Router, body::Bytes, extract::Request, response::Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What was asked: method, path with its query, `Authorization`, and body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// A server over TLS, or without on the loopback address, and a directory for the command that asks it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) directory: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: tokio::runtime::Runtime,
}

/// An answer of JSON.
pub(crate) fn json(status: u16, body: &str) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.header("opc-request-id", "r1").body(body.to_owned().into()).unwrap()
}

impl Server {
    /// Serves with `answer`, which is given what is asked and how often something was asked before.
    pub(crate) fn start(
        name: &str,
        tls: bool,
        answer: impl Fn(&Asked, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let directory = std::env::temp_dir().join(format!("hako-it-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, heard) = (Arc::new(answer), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let authorization =
                    request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
                let body: Bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                let one = Asked { line, authorization: authorization.unwrap_or_default(), body };
                let before = heard.lock().unwrap().len();
                heard.lock().unwrap().push(one.clone());
                answer(&one, before)
            }
        });
        let acceptor = tls.then(|| acceptor(&directory));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(listener, acceptor, router));
        Self { url, directory, asked, _runtime: runtime }
    }

    /// All that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The command, as somebody who knows only this server and has a token.
    pub(crate) fn hako(&self, words: &[&str]) -> Output {
        self.command(words).env("HAKO_TOKEN", "secret").output().unwrap()
    }

    /// The same without a token.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hako"));
        command.args(words).env_clear().env("HOME", &self.directory).env("HAKO_ENDPOINT", &self.url);
        command.env("HAKO_CA", self.directory.join("ca.pem")).env("HAKO_TENANCY", "ocid1.tenancy.x");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn acceptor(directory: &Path) -> TlsAcceptor {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("ca.pem"), issued.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let _ = match acceptor {
                None => builder.serve_connection(TokioIo::new(stream), service).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

/// Exit code, standard output and standard error.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}
