//! The gRPC probe: `grpc.health.v1.Health/Check`.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::transport::Endpoint;

use crate::pod::http::{self, Place};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    /// 1 is SERVING.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks the pod's health service about `service`.
///
/// # Errors
/// If it does not answer, or not with SERVING; the text is for the pod's owner.
pub(super) async fn check(place: &Place, port: u16, service: String, timeout: Duration) -> Result<(), String> {
    let target = format!("{}:{port}", place.ip);
    let place = place.clone();
    let connector = tower::service_fn(move |_: ::http::Uri| {
        let place = place.clone();
        async move { http::dial(&place, None, port, timeout).await.map(TokioIo::new).map_err(std::io::Error::other) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{target}")).map_err(|e| e.to_string())?.timeout(timeout);
    let unreachable = || format!("timeout: failed to connect service {target:?} within {}s", timeout.as_secs());
    let channel = endpoint.connect_with_connector(connector).await.map_err(|_| unreachable())?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|_| unreachable())?;
    let codec = tonic_prost::ProstCodec::<Request, Response>::default();
    let path = ::http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    match client.unary(tonic::Request::new(Request { service }), path, codec).await {
        Ok(response) if response.get_ref().status == 1 => Ok(()),
        Ok(response) => {
            let word = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
            let status = usize::try_from(response.get_ref().status).ok().and_then(|s| word.get(s));
            Err(format!("service unhealthy (responded with {:?})", status.unwrap_or(&"UNKNOWN")))
        }
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".to_owned())
        }
        Err(status) => Err(format!("error: health rpc failed: {}", status.message())),
    }
}
