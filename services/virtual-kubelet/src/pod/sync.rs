//! Brings pods and placements together: observes the mirror, lets the rules decide, and carries out what they say.

use super::{
    Action, admit, diff,
    inputs::{self, Wanted},
    status,
};
use crate::{
    control::{ApiError, Control},
    event::Recorder,
    mirror::{Mirror, Node, Pod},
    services::ServiceEnv,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{BILLED_SIZE_EVENT, Bill, PodSize, SHAPE_LABEL, cpus_per_ocpu, unix_ms};
use parking_lot::Mutex;
use proto::fleet::{
    Input, Placement, PlacementState, PutRequest, RemoveRequest, input::Kind, placement_state::Phase,
    placements_client::PlacementsClient,
};
use reconcile::{Next, Reconcile};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::transport::Channel;

/// While something that a pod needs does not exist, it is looked for this often.
const MISSING: Duration = Duration::from_secs(2);

/// Why a pod could not be brought further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("RuntimeClass {0:?} not found")]
    RuntimeClass(String),
    #[error("the fleet refused: {0}")]
    Fleet(#[from] Box<tonic::Status>),
}

impl From<tonic::Status> for SyncError {
    fn from(status: tonic::Status) -> Self {
        Self::Fleet(Box::new(status))
    }
}

/// Annotation of a Node with the generation of its cluster's key.
const KEY_ANNOTATION: &str = "hako.dev/key-generation";

/// What is remembered of a pod between two runs; losing it costs one more Put.
#[derive(Debug, Clone)]
struct Known {
    /// Of the pod without its status.
    pod: [u8; 32],
    /// Of everything that the placement says.
    placement: [u8; 32],
    generation: u64,
    refreshed: Instant,
    missing: bool,
    tokens: HashMap<String, Token>,
    waiting: String,
    bill: Option<Bill>,
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    renew_ms: i64,
    /// Generation of the cluster's key when it was issued.
    key: String,
}

/// The reconciler of pods, by UID.
#[derive(Debug)]
pub(crate) struct Sync {
    pub(crate) control: Control,
    pub(crate) fleet: PlacementsClient<Channel>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) recorder: Recorder,
    pub(crate) services: ServiceEnv,
    pub(crate) node_address: IpAddr,
    pub(crate) refresh: Duration,
    known: Mutex<HashMap<String, Known>>,
}

impl Reconcile<String> for Sync {
    type Error = SyncError;

    async fn reconcile(&self, uid: &String) -> Result<Next, SyncError> {
        if !self.mirror.is_complete() {
            // Everything is looked at once both sides are known.
            return Ok(Next::Settled);
        }
        let (pod, placement) = self.mirror.both(uid);
        let node = pod.as_ref().and_then(|pod| self.mirror.node(&pod.cluster, &pod.node));
        if pod.is_some() && node.is_none() && placement.is_none() {
            // Another kubelet's, or its Node is yet to be told.
            return Ok(Next::Settled);
        }
        let bill =
            pod.as_ref().zip(node.as_ref()).and_then(|(pod, node)| Bill::of(&pod.value, label(node, SHAPE_LABEL)));
        let too_large = || bill.and_then(|bill| bill.shape.refusal(bill.size));
        let refused = pod.as_ref().and_then(|pod| admit::refusal(&pod.value)).or_else(too_large);
        let actions = diff(pod.as_ref().map(|pod| &*pod.value), placement.as_ref(), refused.as_deref());
        let mut next = Next::Settled;
        for action in actions {
            let wish = match (&pod, action) {
                (_, Action::Remove { grace_seconds }) => self.remove(uid, grace_seconds).await?,
                (Some(pod), action) => self.act(uid, pod, node.as_ref(), placement.as_ref(), action).await?,
                (None, _) => Next::Settled,
            };
            next = next.or_sooner(wish);
        }
        if pod.is_none() {
            self.known.lock().remove(uid);
        }
        Ok(next)
    }

    fn all(&self) -> Vec<String> {
        self.mirror.uids()
    }
}

fn path(pod: &Pod, subresource: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}{subresource}", pod.namespace, pod.name)
}

/// Somebody else was faster, or the object is gone: what is true will be told by the watch.
fn overtaken<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// A label of a Node; empty if it has none.
fn label<'a>(node: &'a Node, name: &str) -> &'a str {
    let labels = node.value.pointer("/metadata/labels");
    labels.and_then(|labels| labels[name].as_str()).unwrap_or_default()
}

fn digest(value: &impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// What of a pod its host must know: all but its status and what changes with every write.
fn essence(pod: &Value) -> Vec<u8> {
    let mut pod = pod.clone();
    if let Some(object) = pod.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        for field in
            ["resourceVersion", "managedFields", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"]
        {
            metadata.remove(field);
        }
    }
    pod.to_string().into_bytes()
}

impl Sync {
    pub(crate) fn new(
        control: Control,
        fleet: PlacementsClient<Channel>,
        mirror: Arc<Mirror>,
        recorder: Recorder,
        node_address: IpAddr,
        refresh: Duration,
    ) -> Self {
        let services = ServiceEnv::new(control.clone());
        Self { control, fleet, mirror, recorder, services, node_address, refresh, known: Mutex::default() }
    }

    async fn act(
        &self,
        uid: &str,
        pod: &Pod,
        node: Option<&Node>,
        placement: Option<&PlacementState>,
        action: Action,
    ) -> Result<Next, SyncError> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        match action {
            Action::Put => match node {
                Some(node) => return self.put(uid, pod, node, placement.is_none()).await,
                None => return Ok(Next::Settled),
            },
            Action::Report => {
                let agent = placement.map(|p| &p.pod_status).filter(|status| !status.is_empty());
                let agent: Option<Value> = agent.and_then(|status| serde_json::from_slice(status).ok());
                if let Some(next) = agent.and_then(|agent| status::merged(&pod.value, &agent)) {
                    self.write_status(uid, pod, next).await?;
                }
            }
            Action::MarkUnknown => {
                if let Some(next) = status::unknown(&pod.value, &now) {
                    self.write_status(uid, pod, next).await?;
                }
            }
            Action::Fail { reason, message } => {
                self.recorder.record(uid, "Warning", reason, &message);
                self.write_status(uid, pod, status::failed(&pod.value, reason, &message, &now)).await?;
            }
            Action::Delete => {
                let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
                overtaken(self.control.delete(&pod.cluster, &path(pod, ""), &options).await)?;
            }
            Action::Wait(reason) => self.tell_wait(uid, reason),
            Action::Remove { .. } => unreachable!("handled by the caller, as it needs no pod"),
        }
        Ok(Next::Settled)
    }

    async fn write_status(&self, uid: &str, pod: &Pod, next: Value) -> Result<(), SyncError> {
        let patch = json!({"metadata": {"uid": uid}, "status": next});
        overtaken(self.control.merge(&pod.cluster, &path(pod, "/status"), &patch).await)?;
        Ok(())
    }

    fn tell_wait(&self, uid: &str, reason: String) {
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(uid).filter(|known| known.waiting != reason) else { return };
        self.recorder.record(uid, "Warning", "FailedPlacement", &reason);
        known.waiting = reason;
    }

    async fn remove(&self, uid: &str, grace_seconds: u32) -> Result<Next, SyncError> {
        self.fleet.clone().remove(RemoveRequest { uid: uid.to_owned(), grace_seconds }).await?;
        Ok(Next::Settled)
    }

    /// Makes or renews the placement, if it is new, changed, or due for a look at what it reads.
    async fn put(&self, uid: &str, pod: &Pod, node: &Node, absent: bool) -> Result<Next, SyncError> {
        let essence = essence(&pod.value);
        let known = self.known.lock().get(uid).cloned();
        let pod_digest = digest(&essence);
        if let Some(known) = &known {
            let period = if known.missing { MISSING } else { self.refresh };
            let due = known.refreshed.elapsed() >= period;
            if !absent && !due && known.pod == pod_digest {
                return Ok(Next::After(period.saturating_sub(known.refreshed.elapsed())));
            }
        }
        let bill = Bill::of(&pod.value, label(node, SHAPE_LABEL));
        self.tell_bill(uid, pod, bill, known.as_ref().and_then(|known| known.bill)).await?;
        let annotations = node.value.pointer("/metadata/annotations");
        let key = annotations.and_then(|all| all[KEY_ANNOTATION].as_str()).unwrap_or_default().to_owned();
        let mut tokens = known.as_ref().map(|known| known.tokens.clone()).unwrap_or_default();
        let (placement, inputs) =
            tokio::try_join!(self.placement(uid, pod, node, essence), self.inputs(uid, pod, (&key, &mut tokens)))?;
        let mut placement = Placement { inputs, ..placement };
        let missing = placement.inputs.iter().any(|input| input.absent);
        let content = digest(&format!("{placement:?}"));
        let unchanged = known.as_ref().is_some_and(|known| known.placement == content);
        let generation = match &known {
            Some(known) if unchanged => known.generation,
            Some(known) => (known.generation + 1).max(now_generation()),
            None => now_generation(),
        };
        if absent || !unchanged {
            placement.generation = generation;
            self.send(pod, placement).await?;
        }
        let waiting = known.map(|known| known.waiting).unwrap_or_default();
        let next = Known {
            pod: pod_digest,
            placement: content,
            generation,
            refreshed: Instant::now(),
            missing,
            tokens,
            waiting,
            bill,
        };
        self.known.lock().insert(uid.to_owned(), next);
        Ok(Next::After(if missing { MISSING } else { self.refresh }))
    }

    /// Writes on the pod what it is billed as, before it runs; the scheduler has done so for those that it bound. Somebody
    /// who takes the annotations off again is not fought with: each size is told once.
    async fn tell_bill(&self, uid: &str, pod: &Pod, bill: Option<Bill>, told: Option<Bill>) -> Result<(), SyncError> {
        let Some(bill) = bill.filter(|bill| Some(*bill) != told && !bill.is_on(&pod.value)) else { return Ok(()) };
        let annotations: BTreeMap<&str, String> = bill.annotations().into_iter().collect();
        let patch = json!({"metadata": {"uid": uid, "annotations": annotations}});
        overtaken(self.control.merge(&pod.cluster, &path(pod, ""), &patch).await)?;
        self.recorder.record(uid, "Normal", BILLED_SIZE_EVENT, &bill.message());
        Ok(())
    }

    async fn send(&self, pod: &Pod, placement: Placement) -> Result<(), SyncError> {
        let owners = pod.value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = |name: &str| text(node_label(&self.mirror, pod, name).as_ref());
        let state = PlacementState {
            uid: placement.uid.clone(),
            cluster_id: placement.cluster_id.clone(),
            namespace: placement.namespace.clone(),
            name: placement.name.clone(),
            phase: Phase::Waiting.into(),
            ..PlacementState::default()
        };
        let request = PutRequest {
            placement: Some(placement),
            availability_domain: labels("topology.kubernetes.io/zone"),
            fault_domain: labels("hako.dev/fault-domain"),
            // A StatefulSet's pods must never run twice.
            replaceable: owner.is_none_or(|owner| owner["kind"] != "StatefulSet"),
            spread_group: text(owner.map(|owner| &owner["uid"])),
        };
        self.fleet.clone().put(request).await?;
        // From now on it may run, whether or not the watch has said so yet.
        self.mirror.note_placement(state);
        Ok(())
    }

    async fn placement(&self, uid: &str, pod: &Pod, node: &Node, essence: Vec<u8>) -> Result<Placement, SyncError> {
        let shape = label(node, SHAPE_LABEL);
        let unknown = || PodSize::of(&pod.value, cpus_per_ocpu(label(node, "kubernetes.io/arch")));
        let size = Bill::of(&pod.value, shape).map_or_else(unknown, |bill| bill.size);
        let links = pod.value.pointer("/spec/enableServiceLinks") != Some(&Value::Bool(false));
        Ok(Placement {
            uid: uid.to_owned(),
            cluster_id: pod.cluster.to_string(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            pod: essence.into(),
            size: Some(proto::fleet::PodSize { ocpu_milli: size.ocpu_milli, memory_bytes: size.memory_bytes }),
            runtime: self.runtime(uid, pod).await?,
            shape: shape.to_owned(),
            service_env: self.services.of(&pod.cluster, &pod.namespace, links).await?,
            node_name: pod.node.clone(),
            node_address: self.node_address.to_string(),
            ..Placement::default()
        })
    }

    /// The handler of the pod's RuntimeClass. One that is missing is said, and looked for again.
    async fn runtime(&self, uid: &str, pod: &Pod) -> Result<String, SyncError> {
        let Some(class) = pod.value.pointer("/spec/runtimeClassName").and_then(Value::as_str) else {
            return Ok(String::new());
        };
        let path = format!("/apis/node.k8s.io/v1/runtimeclasses/{class}");
        let Some(found) = self.control.find(&pod.cluster, &path).await? else {
            let error = SyncError::RuntimeClass(class.to_owned());
            let message = format!("Failed to create pod sandbox: {error}");
            self.recorder.record(uid, "Warning", "FailedCreatePodSandBox", &message);
            return Err(error);
        };
        Ok(found["handler"].as_str().unwrap_or_default().to_owned())
    }

    /// Reads all at once: one round trip to control, however much a pod reads.
    /// `key`: generation of the cluster's key; tokens of others are renewed.
    async fn inputs(
        &self,
        uid: &str,
        pod: &Pod,
        (key, tokens): (&str, &mut HashMap<String, Token>),
    ) -> Result<Vec<Input>, SyncError> {
        let known = &*tokens;
        let reads = inputs::wanted(&pod.value).into_iter().map(|wanted| async move {
            Ok::<_, SyncError>(match wanted {
                Wanted::ConfigMap(name) => (self.object(pod, Kind::ConfigMap, "configmaps", name).await?, None),
                Wanted::Secret(name) => (self.object(pod, Kind::Secret, "secrets", name).await?, None),
                Wanted::PullSecret(name) => (self.object(pod, Kind::PullSecret, "secrets", name).await?, None),
                Wanted::Token { name, audience, seconds } => {
                    let fresh =
                        known.get(&name).filter(|token| token.renew_ms > unix_ms() && token.key == key).cloned();
                    let token = match fresh {
                        Some(token) => token,
                        None => Token { key: key.to_owned(), ..self.token(uid, pod, &audience, seconds).await? },
                    };
                    let data = [("token".to_owned(), token.text.clone().into_bytes().into())].into();
                    (Input { kind: Kind::Token.into(), name, data, ..Input::default() }, Some(token))
                }
            })
        });
        let read = futures::future::try_join_all(reads).await?;
        let token = |(input, token): &(Input, Option<Token>)| Some((input.name.clone(), token.clone()?));
        tokens.extend(read.iter().filter_map(token));
        Ok(read.into_iter().map(|(input, _)| input).collect())
    }

    async fn object(&self, pod: &Pod, kind: Kind, resource: &str, name: String) -> Result<Input, SyncError> {
        let path = format!("/api/v1/namespaces/{}/{resource}/{name}", pod.namespace);
        let Some(object) = self.control.find(&pod.cluster, &path).await? else {
            return Ok(Input { kind: kind.into(), name, absent: true, ..Input::default() });
        };
        let encoded = if kind == Kind::ConfigMap { "binaryData" } else { "data" };
        let (mut data, mut binary_keys) = (BTreeMap::new(), Vec::new());
        for (key, value) in object[encoded].as_object().into_iter().flatten() {
            let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
            data.insert(key.clone(), bytes.into());
        }
        if kind == Kind::ConfigMap {
            binary_keys.extend(data.keys().cloned());
            for (key, value) in object["data"].as_object().into_iter().flatten() {
                let bytes = value.as_str().unwrap_or_default().as_bytes().to_vec();
                data.insert(key.clone(), bytes.into());
            }
        }
        Ok(Input { kind: kind.into(), name, data, binary_keys, absent: false })
    }

    async fn token(&self, uid: &str, pod: &Pod, audience: &str, seconds: u64) -> Result<Token, SyncError> {
        let account = pod.value.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or("default");
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace);
        let audiences: Vec<&str> = [audience].into_iter().filter(|audience| !audience.is_empty()).collect();
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod.name, "uid": uid},
            },
        });
        let answer = self.control.create(&pod.cluster, &path, &request).await?;
        let text = answer.pointer("/status/token").and_then(Value::as_str).unwrap_or_default().to_owned();
        let end = answer.pointer("/status/expirationTimestamp").and_then(Value::as_str).unwrap_or_default();
        let now = unix_ms();
        let end_ms = end.parse::<jiff::Timestamp>().map_or(now, jiff::Timestamp::as_millisecond);
        // Source: the kubelet renews a token at 80 % of its life.
        Ok(Token { text, renew_ms: now + (end_ms - now) * 8 / 10, key: String::new() })
    }
}

fn now_generation() -> u64 {
    u64::try_from(unix_ms()).unwrap_or(0)
}

fn node_label(mirror: &Mirror, pod: &Pod, name: &str) -> Option<Value> {
    let node = mirror.node(&pod.cluster, &pod.node)?;
    node.value.pointer("/metadata/labels")?.get(name).cloned()
}
