//! Logs and upgraded connections, through to a kubelet.

use crate::world::World;
use axum::{extract::Request, response::Response, routing::any};
use kube_api::ApiConfig;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A kubelet that says which path it was asked for, and echoes upgraded connections. Returns its port and the API
/// server's configuration that trusts it.
async fn kubelet() -> (u16, ApiConfig) {
    runtime::tls::install_provider();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["virtual-kubelet".into()]).unwrap().self_signed(&key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let app = axum::Router::new().fallback(any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(runtime::serve::serve(listener, Some(Arc::new(server)), app, CancellationToken::new()));
    (port, ApiConfig { kubelet_tls: Some(Arc::new(client)), ..ApiConfig::default() })
}

async fn answer(mut request: Request) -> Response {
    let target = request.uri().to_string();
    if target.contains("/broken") {
        return Response::builder()
            .status(400)
            .body("container \"a\" in pod \"broken\" is waiting to start".into())
            .unwrap();
    }
    if !request.headers().contains_key("upgrade") {
        return Response::new(format!("log of {target}\n").into());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        io.write_all(format!("{target}\n").as_bytes()).await.unwrap();
        let mut buffer = [0u8; 1024];
        while let Ok(count @ 1..) = io.read(&mut buffer).await {
            io.write_all(&buffer[..count]).await.unwrap();
        }
    });
    Response::builder()
        .status(101)
        .header("upgrade", "SPDY/3.1")
        .header("connection", "Upgrade")
        .body("".into())
        .unwrap()
}

async fn world_with_pods(name: &str) -> World {
    let (port, config) = kubelet().await;
    let world = World::with(name, config).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    world.post("/api/v1/nodes", &node).await;
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    let (code, node) = world.patch("/api/v1/nodes/n/status", "application/merge-patch+json", &status).await;
    assert_eq!(code, 200, "{node}");
    for (name, containers) in [("p", vec!["a"]), ("two", vec!["a", "b"]), ("broken", vec!["a"]), ("waiting", vec!["a"])]
    {
        let containers: Vec<_> = containers.iter().map(|c| json!({"name": c, "image": "i"})).collect();
        let mut pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}});
        if name != "waiting" {
            pod["spec"]["nodeName"] = json!("n");
        }
        assert_eq!(world.post(PODS, &pod).await.0, 201);
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_come_from_the_pods_kubelet() {
    let world = world_with_pods("logs").await;
    let (code, log) = world.get(&format!("{PODS}/p/log?tailLines=5&follow=true")).await;
    let expect = format!("log of /containerLogs/{}:default/p/a?follow=true&tailLines=5\n", world.cluster.id());
    assert_eq!((code, log.as_str()), (200, Some(expect.as_str())));
    let message = async |path: &str| {
        let (code, status) = world.get(&format!("{PODS}/{path}")).await;
        (code, status["message"].as_str().unwrap_or_default().to_owned())
    };
    let choose = "a container name must be specified for pod two, choose one of: [a b]";
    assert_eq!(message("two/log").await, (400, choose.into()));
    assert_eq!(message("two/log?container=c").await, (400, "container c is not valid for pod two".into()));
    assert_eq!(message("waiting/log").await, (400, "pod waiting does not have a host assigned".into()));
    assert_eq!(message("broken/log").await, (400, "container \"a\" in pod \"broken\" is waiting to start".into()));
    assert_eq!(message("nope/log").await, (404, "pods \"nope\" not found".into()));
    assert_eq!(message("p/log?tailLines=-1").await.0, 422);
    assert_eq!(message("p/exec?command=sh&stdout=true").await, (400, "Upgrade request required".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgraded_connections_are_copied_both_ways() {
    let world = world_with_pods("upgrades").await;
    let address = world.base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let path = world.url(&format!("{PODS}/p/exec?command=sh&command=-c&stdin=true&stdout=true"));
    let path = path.strip_prefix(&world.base).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let target = format!("/exec/{}:default/p/a?input=1&output=1&command=sh&command=-c\n", world.cluster.id());
    while !String::from_utf8_lossy(&got).ends_with(&target) {
        let mut buffer = [0u8; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..count]);
    }
    assert!(got.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&got));
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0u8; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
}
