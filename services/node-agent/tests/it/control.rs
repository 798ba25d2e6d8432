//! Control's end of the agent's stream: what is outside of this service, played by the test.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::fleet::agents_server::{Agents, AgentsServer};
use proto::fleet::stream_frame::Frame;
use proto::fleet::{
    AgentMessage, ControlMessage, OpenStream, PlacementStatus, PodEvent, StreamEnd, StreamFrame, StreamOpen, Sync,
    agent_message::Message as Said, control_message::Message as Say,
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

/// The test's control.
#[derive(Clone, Default)]
pub(crate) struct Control {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    statuses: Mutex<HashMap<String, PlacementStatus>>,
    events: Mutex<Vec<(String, PodEvent)>>,
    sync: Mutex<Sync>,
    session: Mutex<Option<mpsc::Sender<Result<ControlMessage, Status>>>>,
    streams: Mutex<HashMap<String, Ends>>,
    news: Notify,
}

struct Ends {
    to_agent: mpsc::Receiver<Result<StreamFrame, Status>>,
    from_agent: mpsc::Sender<Frame>,
}

#[tonic::async_trait]
impl Agents for Control {
    type SessionStream = Answer<ControlMessage>;
    type DataStream = Answer<StreamFrame>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        assert_eq!(runtime::tls::grpc_peer(&request).as_deref(), Some("host:h1"));
        let mut messages = request.into_inner();
        let (say, said) = mpsc::channel(64);
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                match message.message {
                    Some(Said::Hello(hello)) => {
                        hello.placements.into_iter().for_each(|status| this.take(status));
                        let sync = this.inner.sync.lock().clone();
                        let _ = say.send(Ok(ControlMessage { message: Some(Say::Sync(sync)) })).await;
                        *this.inner.session.lock() = Some(say.clone());
                    }
                    Some(Said::Status(status)) => this.take(status),
                    Some(Said::Heartbeat(_)) | None => {}
                }
                this.inner.news.notify_waiters();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }

    async fn data(&self, request: Request<Streaming<StreamFrame>>) -> Result<Response<Self::DataStream>, Status> {
        let mut frames = request.into_inner();
        let Some(Frame::Open(open)) = frames.message().await?.and_then(|f| f.frame) else {
            return Err(Status::invalid_argument("no open"));
        };
        let ends = self.inner.streams.lock().remove(&open.stream_id);
        let Ends { to_agent, from_agent } = ends.ok_or_else(|| Status::not_found("no such stream"))?;
        tokio::spawn(async move {
            while let Ok(Some(frame)) = frames.message().await {
                if let Some(frame) = frame.frame
                    && from_agent.send(frame).await.is_err()
                {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(to_agent))))
    }
}

/// One stream into a pod.
pub(crate) struct Stream {
    to_agent: mpsc::Sender<Result<StreamFrame, Status>>,
    pub(crate) from_agent: mpsc::Receiver<Frame>,
}

impl Stream {
    pub(crate) async fn send(&self, frame: Frame) {
        self.to_agent.send(Ok(StreamFrame { frame: Some(frame) })).await.unwrap();
    }

    /// Everything until the end.
    pub(crate) async fn finish(mut self) -> (String, String, StreamEnd) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let all = async {
            loop {
                match self.from_agent.recv().await.expect("the stream has an end") {
                    Frame::Stdout(piece) => out.extend_from_slice(&piece),
                    Frame::Stderr(piece) => err.extend_from_slice(&piece),
                    Frame::End(end) => return end,
                    other => panic!("{other:?}"),
                }
            }
        };
        let end = tokio::time::timeout(Duration::from_secs(20), all).await.expect("the stream ends");
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), end)
    }
}

impl Control {
    /// Serves on a free port with the certificate of `control`.
    pub(crate) async fn serve(&self, identity: &runtime::tls::Identity) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = AgentsServer::new(self.clone());
        let server = tonic::transport::Server::builder().tls_config(identity.tonic_server().unwrap()).unwrap();
        let mut server = server;
        let router = server.add_service(service);
        tokio::spawn(router.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
        port
    }

    fn take(&self, status: PlacementStatus) {
        let events = status.events.iter().map(|e| (status.uid.clone(), e.clone()));
        self.inner.events.lock().extend(events);
        self.inner.statuses.lock().insert(status.uid.clone(), status);
        self.inner.news.notify_waiters();
    }

    /// What the next session begins with.
    pub(crate) fn set_sync(&self, sync: Sync) {
        *self.inner.sync.lock() = sync;
    }

    /// Says something to the agent; waits for its session.
    pub(crate) async fn say(&self, message: Say) {
        let session = loop {
            let session = self.inner.session.lock().clone();
            match session.filter(|s| !s.is_closed()) {
                Some(session) => break session,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        session.send(Ok(ControlMessage { message: Some(message) })).await.unwrap();
    }

    /// Events of a pod, as "reason: message".
    pub(crate) fn events(&self, uid: &str) -> Vec<String> {
        let events = self.inner.events.lock();
        events.iter().filter(|(u, _)| u == uid).map(|(_, e)| format!("{}: {}", e.reason, e.message)).collect()
    }

    /// Waits until the pod's status is as wanted, and gives it.
    pub(crate) async fn until(
        &self,
        uid: &str,
        what: &str,
        wanted: impl Fn(&serde_json::Value, &PlacementStatus) -> bool,
    ) -> serde_json::Value {
        let waiting = async {
            loop {
                let news = self.inner.news.notified();
                let status = self.inner.statuses.lock().get(uid).cloned();
                if let Some(status) = status {
                    let value = serde_json::from_slice(&status.pod_status).unwrap_or_default();
                    if wanted(&value, &status) {
                        return value;
                    }
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), news).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(value) => value,
            Err(_) => {
                let last =
                    self.inner.statuses.lock().get(uid).map(|s| String::from_utf8_lossy(&s.pod_status).into_owned());
                panic!("pod {uid} is never {what}; last: {last:?}; events: {:#?}", self.events(uid));
            }
        }
    }

    /// Opens a stream into a pod.
    pub(crate) async fn open(&self, uid: &str, kind: proto::fleet::stream_open::Kind) -> Stream {
        let (to_agent, agent_reads) = mpsc::channel(16);
        let (agent_writes, from_agent) = mpsc::channel(16);
        let stream_id = format!("s-{}", uuid::Uuid::new_v4());
        let ends = Ends { to_agent: agent_reads, from_agent: agent_writes };
        self.inner.streams.lock().insert(stream_id.clone(), ends);
        let request = StreamOpen { uid: uid.to_owned(), kind: Some(kind), ..StreamOpen::default() };
        self.say(Say::OpenStream(OpenStream { stream_id, request: Some(request) })).await;
        Stream { to_agent, from_agent }
    }
}

/// Certificates of the internal CA for `names`, as files.
pub(crate) fn identities(dir: &Path, names: &[&str]) -> Vec<runtime::tls::Identity> {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    std::fs::write(dir.join("ca.pem"), ca_cert.pem()).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let make = |name: &&str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let sans = vec!["localhost".to_owned(), "control".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(sans).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        let cert = params.signed_by(&key, &issuer).unwrap();
        let file = |kind: &str| dir.join(format!("{}.{kind}.pem", name.replace(':', "-")));
        std::fs::write(file("cert"), cert.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        runtime::tls::Identity { ca: dir.join("ca.pem"), certificate: file("cert"), key: file("key") }
    };
    names.iter().map(make).collect()
}
