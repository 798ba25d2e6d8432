-- Identity and the cloud API's resources: who may call, what they own, and the work that is done for them.
-- Times are Unix milliseconds: they come from the service's clock, not from the database's.
create table tenancies (
    id text primary key,
    name text not null constraint tenancies_name unique,
    created_ms bigint not null
);

create table users (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    name text not null,
    groups text[] not null default '{}',
    created_ms bigint not null,
    constraint users_name unique (tenancy_id, name)
);

create table api_keys (
    -- Fingerprint of the public key; the `kid` of tokens that it verifies.
    kid text primary key,
    user_id text not null references users (id) on delete cascade,
    public_key_pem text not null,
    created_ms bigint not null
);
create index api_keys_user on api_keys (user_id);

create table clusters (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    name text not null,
    type text not null constraint clusters_type check (type in ('BASIC_CLUSTER', 'ENHANCED_CLUSTER')),
    kubernetes_version text not null,
    vcn_id text not null,
    pods_cidr text not null,
    services_cidr text not null,
    -- CREATING -> ACTIVE | FAILED; ACTIVE <-> UPDATING; any but DELETED -> DELETING -> DELETED.
    lifecycle_state text not null constraint clusters_lifecycle_state
        check (lifecycle_state in ('CREATING', 'ACTIVE', 'FAILED', 'DELETING', 'DELETED', 'UPDATING')),
    lifecycle_details text,
    -- What the caller gave and gets back as it was: options, endpointConfig, tags ...
    spec jsonb not null,
    -- Grows with each change; the etag.
    version bigint not null default 1,
    -- The work request that is going on, if one is.
    work_request_id text,
    created_ms bigint not null,
    created_by text not null,
    created_by_work_request text not null,
    updated_ms bigint,
    updated_by text,
    updated_by_work_request text,
    deleted_ms bigint,
    deleted_by text,
    deleted_by_work_request text
);
create index clusters_compartment on clusters (compartment_id, created_ms);
create index clusters_unsettled on clusters (id) where lifecycle_state in ('CREATING', 'UPDATING', 'DELETING');

create table virtual_node_pools (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    cluster_id text not null references clusters (id),
    display_name text not null,
    kubernetes_version text not null,
    size integer not null constraint virtual_node_pools_size check (size >= 0),
    lifecycle_state text not null constraint virtual_node_pools_lifecycle_state
        check (lifecycle_state in ('CREATING', 'ACTIVE', 'UPDATING', 'DELETING', 'DELETED', 'FAILED', 'NEEDS_ATTENTION')),
    lifecycle_details text,
    -- placementConfigurations, podConfiguration, initialVirtualNodeLabels, taints, nsgIds, tags.
    spec jsonb not null,
    version bigint not null default 1,
    work_request_id text,
    created_ms bigint not null,
    updated_ms bigint,
    -- When the pool entered its state; what takes too long needs attention.
    state_ms bigint not null
);
create index virtual_node_pools_cluster on virtual_node_pools (cluster_id);
create index virtual_node_pools_compartment on virtual_node_pools (compartment_id, created_ms);

create table virtual_nodes (
    id text primary key,
    pool_id text not null references virtual_node_pools (id),
    cluster_id text not null references clusters (id),
    -- Name of its Node in the cluster.
    node_name text not null,
    availability_domain text not null,
    fault_domain text not null,
    subnet_id text not null,
    lifecycle_state text not null constraint virtual_nodes_lifecycle_state
        check (lifecycle_state in ('CREATING', 'ACTIVE', 'UPDATING', 'DELETING', 'DELETED', 'FAILED', 'NEEDS_ATTENTION')),
    lifecycle_details text,
    private_ip text,
    created_ms bigint not null,
    state_ms bigint not null
);
create unique index virtual_nodes_name on virtual_nodes (cluster_id, node_name) where lifecycle_state <> 'DELETED';
create index virtual_nodes_pool on virtual_nodes (pool_id);

create table work_requests (
    id text primary key,
    tenancy_id text not null,
    compartment_id text not null,
    cluster_id text,
    operation_type text not null,
    status text not null constraint work_requests_status
        check (status in ('ACCEPTED', 'IN_PROGRESS', 'FAILED', 'SUCCEEDED', 'CANCELING', 'CANCELED')),
    percent_complete real not null default 0,
    resource_id text not null,
    -- entityType and entityUri are derived: cluster, virtualnodepool, virtualnode.
    entity_type text not null,
    action_type text not null,
    accepted_ms bigint not null,
    started_ms bigint,
    finished_ms bigint
);
create index work_requests_compartment on work_requests (compartment_id, accepted_ms);
create index work_requests_resource on work_requests (resource_id);

create table work_request_logs (
    no bigint generated always as identity primary key,
    work_request_id text not null references work_requests (id) on delete cascade,
    message text not null,
    at_ms bigint not null
);
create index work_request_logs_request on work_request_logs (work_request_id, no);

create table work_request_errors (
    no bigint generated always as identity primary key,
    work_request_id text not null references work_requests (id) on delete cascade,
    code text not null,
    message text not null,
    at_ms bigint not null
);
create index work_request_errors_request on work_request_errors (work_request_id, no);

-- A create with a token that was seen is answered with what it made then. Kept for 24 hours.
create table retry_tokens (
    tenancy_id text not null,
    operation text not null,
    token text not null,
    -- SHA-256 of the request's body: the same token with another request is refused.
    request_hash bytea not null,
    work_request_id text not null,
    created_ms bigint not null,
    primary key (tenancy_id, operation, token)
);
create index retry_tokens_age on retry_tokens (created_ms);

-- Made when a cluster names none: one per compartment.
create table default_vcns (
    compartment_id text primary key,
    vcn_id text not null
);
