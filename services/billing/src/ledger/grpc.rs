//! The ledger's gRPC service: extract, authorise, one operation, reply.

use proto::billing::{CloseRequest, CloseResponse, RecordRequest, RecordResponse, ledger_server};
use tonic::{Request, Response, Status};

use super::{Ledger, LedgerError, Writer};

#[tonic::async_trait]
impl ledger_server::Ledger for Ledger {
    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        let writer = writer(&request)?;
        let recorded = Ledger::record(self, &writer, &request.into_inner().intervals).await.map_err(status)?;
        Ok(Response::new(RecordResponse { recorded: u32::try_from(recorded).unwrap_or(u32::MAX) }))
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<CloseResponse>, Status> {
        let writer = writer(&request)?;
        Ledger::close(self, &writer, &request.into_inner().closures).await.map_err(status)?;
        Ok(Response::new(CloseResponse {}))
    }
}

fn writer<T>(request: &Request<T>) -> Result<Writer, Status> {
    let name = runtime::tls::grpc_peer(request).ok_or_else(|| Status::unauthenticated("no client certificate"))?;
    Writer::from_common_name(&name)
        .ok_or_else(|| Status::permission_denied(format!("{name:?} may not write the ledger")))
}

fn status(error: LedgerError) -> Status {
    match error {
        LedgerError::Forbidden(text) => Status::permission_denied(text),
        LedgerError::Invalid(text) => Status::invalid_argument(text),
        LedgerError::Store(source) => {
            tracing::error!(error = %source, "the ledger could not be written: {source}");
            Status::unavailable("the ledger could not be written; try again")
        }
    }
}
