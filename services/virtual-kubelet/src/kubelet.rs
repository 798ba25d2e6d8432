//! PLACE OF THE vk HELPER'S kubelet HTTP API (see NOTICE_TO_VK_HELPER.md): replace this file.

use proto::fleet::placements_client::PlacementsClient;
use std::sync::Arc;
use tonic::transport::Channel;

pub(crate) trait PodIndex: Send + Sync {
    fn uid(&self, cluster: &str, namespace: &str, name: &str) -> Option<String>;
    fn pod(&self, uid: &str) -> Option<Arc<serde_json::Value>>;
}

pub(crate) struct Kubelet;

impl Kubelet {
    pub(crate) fn new(_: PlacementsClient<Channel>, _: Arc<dyn PodIndex>) -> Self {
        Self
    }
}

pub(crate) fn router(_: Arc<Kubelet>) -> axum::Router {
    axum::Router::new()
}
