-- Hosts, and what runs where.
create table hosts (
    id text primary key,
    underlay_address text not null,
    cpu_milli bigint not null,
    memory_bytes bigint not null,
    pods integer not null,
    architecture text not null,
    runtimes text[] not null,
    labels jsonb not null,
    agent_version text not null,
    first_seen timestamptz not null default now(),
    last_seen timestamptz not null default now()
);

-- A tenant network; today one per cluster, with the cluster's id.
create table networks (
    id text primary key,
    -- VXLAN network identifier, 24 bits.
    vni integer generated always as identity (start with 4096 maxvalue 16777215) unique,
    tenant_id text not null,
    compartment_id text not null,
    pod_cidr text not null,
    service_cidr text not null
);

create table placements (
    -- The pod's UID.
    uid text primary key,
    cluster_id text not null,
    namespace text not null,
    name text not null,
    generation bigint not null,
    phase text not null check (phase in ('waiting', 'placed', 'removing', 'lost', 'fenced')),
    host_id text,
    network_id text not null references networks (id),
    -- Leased until the row is gone.
    address text,
    ocpu_milli bigint not null,
    memory_bytes bigint not null,
    replaceable boolean not null,
    spread_group text not null,
    grace_seconds integer not null default 0,
    -- fleet.v1.Placement, sealed: it holds Secrets.
    body bytea not null,
    constraint placements_address unique (network_id, address),
    constraint placements_host check (host_id is not null or phase in ('waiting', 'lost'))
);

-- Ends of billing that the ledger has not confirmed yet.
create table usage_closures (
    uid text not null,
    host_id text not null,
    at_ms bigint not null,
    reason text not null,
    primary key (uid, host_id)
);
