//! What virtual-kubelets call.

use crate::{
    actor::{Fleet, FleetError, Move, Of},
    core::{Phase, Row},
};
use bytes::Bytes;
use domain::ClusterId;
use futures::{Stream, StreamExt, future::ready};
use proto::fleet::{
    PlacementEvent, PutRequest, PutResponse, RemoveRequest, RemoveResponse, StreamFrame, WatchRequest,
    placements_server::Placements, stream_frame::Frame,
};
use std::{pin::Pin, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Longest text that names something.
const NAME_LEN: usize = 253;

/// The service of virtual-kubelets.
#[derive(Debug)]
pub struct PlacementsApi {
    fleet: Arc<Fleet>,
}

impl PlacementsApi {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }
}

impl From<FleetError> for Status {
    fn from(error: FleetError) -> Self {
        match &error {
            FleetError::Invalid(text) => Status::invalid_argument(text),
            FleetError::NotFound(_) => Status::not_found(error.to_string()),
            FleetError::Unavailable(text) => Status::unavailable(text),
        }
    }
}

fn authorise<T>(request: &Request<T>) -> Result<(), Status> {
    match runtime::tls::grpc_peer(request).as_deref() {
        Some("virtual-kubelet" | "control") => Ok(()),
        Some(_) => Err(Status::permission_denied("only virtual-kubelets may call this")),
        None => Err(Status::unauthenticated("a client certificate is needed")),
    }
}

pub(crate) fn row(request: PutRequest) -> Result<Row, Status> {
    let body = request.placement.ok_or_else(|| Status::invalid_argument("placement is missing"))?;
    let size = body.size.ok_or_else(|| Status::invalid_argument("placement.size is missing"))?;
    let named = |text: &str| !text.is_empty() && text.len() <= NAME_LEN;
    if !(named(&body.uid) && named(&body.namespace) && named(&body.name)) {
        return Err(Status::invalid_argument("placement needs uid, namespace and name"));
    }
    Ok(Row {
        network: String::new(),
        range: String::new(),
        availability_domain: request.availability_domain,
        fault_domain: request.fault_domain,
        phase: Phase::Waiting,
        host: None,
        address: None,
        ocpu_milli: size.ocpu_milli,
        memory_bytes: size.memory_bytes,
        replaceable: request.replaceable,
        spread_group: request.spread_group,
        grace_seconds: 0,
        pod_status: Bytes::new(),
        status_generation: 0,
        reason: String::new(),
        body,
    })
}

#[tonic::async_trait]
impl Placements for PlacementsApi {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PlacementEvent, Status>> + Send>>;
    type OpenStream = Pin<Box<dyn Stream<Item = Result<StreamFrame, Status>> + Send>>;

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        authorise(&request)?;
        let mut row = row(request.into_inner())?;
        let cluster: ClusterId = row
            .body
            .cluster_id
            .parse()
            .map_err(|_| Status::invalid_argument("placement.cluster_id is no cluster's id"))?;
        let member = self.fleet.ensure_member(&cluster).await?;
        (row.body.tenant_id, row.body.compartment_id) = (member.tenant_id, member.compartment_id);
        (row.network, row.range) = (member.network, member.pod_cidr);
        row.body.attachment = None;
        let row = self.fleet.ask(|reply| Move::Put { row: Box::new(row), reply }).await?;
        let row = row.ok_or_else(|| Status::internal("a placement that asks for no address was refused one"))?;
        Ok(Response::new(PutResponse {
            host_id: row.host.map(|host| host.to_string()).unwrap_or_default(),
            address: row.address.unwrap_or_default(),
            reason: row.reason,
        }))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        authorise(&request)?;
        let RemoveRequest { uid, grace_seconds } = request.into_inner();
        self.fleet.ask(|reply| Move::Remove { uid, grace_seconds, reply }).await?;
        Ok(Response::new(RemoveResponse {}))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        authorise(&request)?;
        let (to, events) = mpsc::unbounded_channel();
        self.fleet.tell(Move::Watch { of: Of::Clusters, to }).await?;
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(events).map(Ok))))
    }

    async fn open(&self, request: Request<Streaming<StreamFrame>>) -> Result<Response<Self::OpenStream>, Status> {
        authorise(&request)?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|frame| frame.frame);
        let Some(Frame::Open(open)) = first else {
            return Err(Status::invalid_argument("the first frame must be open"));
        };
        let broke = |status: &Status| tracing::debug!(%status, "a stream into a pod broke");
        let frames = inbound.take_while(move |frame| ready(frame.as_ref().inspect_err(|status| broke(status)).is_ok()));
        let frames = frames.filter_map(|frame| ready(frame.ok()));
        let answer = self.fleet.open_stream(open, frames).await?;
        Ok(Response::new(Box::pin(answer.map(Ok))))
    }
}
