//! The ledger's gRPC service: extract, authorise, one operation, reply.

use std::time::Instant;

use proto::billing::{CloseRequest, CloseResponse, RecordRequest, RecordResponse, ledger_server};
use tonic::{Request, Response, Status};

use crate::metrics::Metrics;

use super::{Ledger, LedgerError, Writer};

#[tonic::async_trait]
impl ledger_server::Ledger for Ledger {
    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        let writer = writer(&request)?;
        let intervals = request.into_inner().intervals;
        let recorded = measured("record", Ledger::record(self, &writer, &intervals)).await?;
        Ok(Response::new(RecordResponse { recorded: u32::try_from(recorded).unwrap_or(u32::MAX) }))
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<CloseResponse>, Status> {
        let writer = writer(&request)?;
        let closures = request.into_inner().closures;
        measured("close", Ledger::close(self, &writer, &closures)).await?;
        Ok(Response::new(CloseResponse {}))
    }
}

async fn measured<T>(call: &'static str, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, Status> {
    let started = Instant::now();
    let ended = work.await;
    let outcome = match &ended {
        Ok(_) => "done",
        Err(LedgerError::Forbidden(_) | LedgerError::Invalid(_)) => "refused",
        Err(LedgerError::Store(_)) => "failed",
    };
    Metrics::registered().called(call, outcome, started.elapsed());
    ended.map_err(status)
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
