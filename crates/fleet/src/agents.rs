//! What agents call.

use crate::{
    actor::{Fleet, Move},
    core::{Host, Link},
};
use domain::HostId;
use futures::{Stream, StreamExt};
use proto::fleet::{AgentMessage, ControlMessage, Hello, StreamFrame, agent_message::Message, agents_server::Agents};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// The service of agents.
#[derive(Debug)]
pub struct AgentsApi {
    fleet: Arc<Fleet>,
}

impl AgentsApi {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }
}

/// The host that a certificate names.
fn caller<T>(request: &Request<T>) -> Result<HostId, Status> {
    let name =
        runtime::tls::grpc_peer(request).ok_or_else(|| Status::unauthenticated("a client certificate is needed"))?;
    HostId::from_common_name(&name).ok_or_else(|| Status::permission_denied("only hosts' agents may call this"))
}

fn host(hello: &Hello, id: HostId, session: u64) -> Result<Host, Status> {
    let capacity = hello.capacity.clone().ok_or_else(|| Status::invalid_argument("hello.capacity is missing"))?;
    let address: Result<std::net::Ipv4Addr, _> = hello.underlay_address.parse();
    address.map_err(|_| Status::invalid_argument("hello.underlay_address must be an IPv4 address"))?;
    Ok(Host {
        id,
        underlay_address: hello.underlay_address.clone(),
        cpu_milli: capacity.cpu_milli,
        memory_bytes: capacity.memory_bytes,
        pods: capacity.pods,
        architecture: capacity.architecture,
        runtimes: capacity.runtimes,
        labels: hello.labels.clone(),
        agent_version: hello.agent_version.clone(),
        seen: Instant::now(),
        link: Link::Ready(session),
    })
}

#[tonic::async_trait]
impl Agents for AgentsApi {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;
    type DataStream = Pin<Box<dyn Stream<Item = Result<StreamFrame, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let id = caller(&request)?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.message);
        let Some(Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first message must be hello"));
        };
        if hello.host_id != id.as_str() {
            return Err(Status::permission_denied("hello.host_id differs from the certificate's"));
        }
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let (to, outbound) = mpsc::unbounded_channel();
        let host = Box::new(host(&hello, id.clone(), session)?);
        tracing::info!(host = %id, session, placements = hello.placements.len(), "a host connected");
        let connect = Move::Connect { host, statuses: hello.placements, to, session };
        self.fleet.tell(connect).await.map_err(|error| Status::unavailable(error.to_string()))?;
        tokio::spawn(listen(Arc::clone(&self.fleet), id, session, inbound));
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(outbound).map(Ok))))
    }

    async fn data(&self, request: Request<Streaming<StreamFrame>>) -> Result<Response<Self::DataStream>, Status> {
        let id = caller(&request)?;
        let outbound = self.fleet.streams.answer(&id, request.into_inner()).await?;
        Ok(Response::new(Box::pin(outbound.map(Ok))))
    }
}

/// Passes on what an agent says until its stream ends.
async fn listen(fleet: Arc<Fleet>, host: HostId, session: u64, mut inbound: Streaming<AgentMessage>) {
    let why = loop {
        let message = match inbound.message().await {
            Ok(Some(message)) => message.message,
            Ok(None) => break "it hung up".to_owned(),
            Err(status) => break status.to_string(),
        };
        let next = match message {
            Some(Message::Status(status)) => Move::Status { host: host.clone(), status: Box::new(status) },
            Some(Message::Heartbeat(_)) => Move::Alive { host: host.clone() },
            Some(Message::Hello(_)) | None => continue,
        };
        if fleet.tell(next).await.is_err() {
            return;
        }
    };
    tracing::info!(%host, session, why, "a host's stream ended");
    let _ = fleet.tell(Move::Disconnect { host, session }).await;
}
