-- Pausing clusters, and new credentials for them.
alter table clusters
    -- Keeps its objects, runs nothing.
    add column is_paused boolean not null default false,
    -- Generation of the key that signs service-account tokens, and the oldest whose tokens are still good.
    add column key_generation integer not null default 1,
    add column oldest_key_generation integer not null default 1,
    -- COMPLETED -> ISSUING -> WAITING -> RETIRING -> COMPLETED.
    add column rotation text not null default 'COMPLETED' constraint clusters_rotation
        check (rotation in ('COMPLETED', 'ISSUING', 'WAITING', 'RETIRING')),
    -- When a waiting rotation goes on by itself.
    add column rotation_due_ms bigint,
    add constraint clusters_key_generations check (oldest_key_generation between 1 and key_generation);
create index clusters_rotation_due on clusters (rotation_due_ms) where rotation = 'WAITING';

-- Authorities that sign what the gateway shows at a cluster's own host name, by generation as the keys above. Made at
-- first use.
create table cluster_authorities (
    cluster_id text not null references clusters (id) on delete cascade,
    generation integer not null,
    certificate_pem text not null,
    -- PKCS #8, sealed.
    sealed_key bytea not null,
    primary key (cluster_id, generation)
);
