-- Logical clusters and their objects. A cluster has one writer: the replica that holds it, under an epoch.
create table kube_replicas (
    name text primary key,
    lease_until timestamptz not null
);

create table kube_clusters (
    no bigint generated always as identity primary key,
    id text not null constraint kube_clusters_id unique,
    -- Version of the last committed write; the cluster's resourceVersion.
    revision bigint not null default 0,
    -- Grows with each taking of the cluster; a writer with an older one is fenced.
    epoch bigint not null default 1,
    owner text not null
);

create table kube_objects (
    cluster_no bigint not null,
    -- "pods", "deployments.apps"
    resource text not null,
    -- Empty for cluster-scoped kinds.
    namespace text not null,
    name text not null,
    revision bigint not null,
    -- JSON, or sealed bytes (first byte 0x01) for Secrets.
    body bytea not null,
    primary key (cluster_no, resource, namespace, name)
) partition by hash (cluster_no);

create table kube_objects_0 partition of kube_objects for values with (modulus 8, remainder 0);
create table kube_objects_1 partition of kube_objects for values with (modulus 8, remainder 1);
create table kube_objects_2 partition of kube_objects for values with (modulus 8, remainder 2);
create table kube_objects_3 partition of kube_objects for values with (modulus 8, remainder 3);
create table kube_objects_4 partition of kube_objects for values with (modulus 8, remainder 4);
create table kube_objects_5 partition of kube_objects for values with (modulus 8, remainder 5);
create table kube_objects_6 partition of kube_objects for values with (modulus 8, remainder 6);
create table kube_objects_7 partition of kube_objects for values with (modulus 8, remainder 7);
