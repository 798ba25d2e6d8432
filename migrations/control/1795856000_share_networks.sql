-- A network is a VCN's, and clusters and container instances share it. A network that was made for one cluster stays as it
-- is, with the cluster's id: its pods keep their addresses. `networks` keeps the columns of its first cluster for
-- programs of before.
create table network_clusters (
    cluster_id text primary key,
    network_id text not null references networks (id),
    -- Who pays, and the compartment that is charged.
    tenant_id text not null,
    compartment_id text not null,
    -- Range from which its pods' addresses are, and that of its Services.
    pod_cidr text not null,
    service_cidr text not null
);
create index network_clusters_network on network_clusters (network_id);

insert into network_clusters (cluster_id, network_id, tenant_id, compartment_id, pod_cidr, service_cidr)
select id, id, tenant_id, compartment_id, pod_cidr, service_cidr from networks;

alter table placements
    -- Range from which the address is; empty: the network's first.
    add column address_range text not null default '',
    -- Fault domain that is asked for; empty: any.
    add column fault_domain text not null default '';

update placements p set address_range = n.pod_cidr from networks n where n.id = p.network_id;
