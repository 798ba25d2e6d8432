-- Prices are data: a card holds from its instant on, until another one does.
create table rate_cards (
    card_id           text primary key,
    currency          text not null,
    effective_from_ms bigint not null unique,
    source            text not null
);

create table rates (
    card_id text not null references rate_cards,
    -- What is priced: 'ocpu_hour', 'memory_gb_hour', 'enhanced_cluster_hour', 'virtual_node_hour'.
    item    text not null,
    price   numeric(20, 8) not null check (price >= 0),
    primary key (card_id, item)
);

-- Oracle's list prices in US dollars at 140 yen a dollar, the rate by which its 2023 deck gives ¥14 for an Enhanced
-- cluster's $0.10 and ¥2.1 for a virtual node's $0.015. Compute - Standard - E4: $0.025 per OCPU and hour (B93113),
-- $0.0015 per GB and hour (B93114).
insert into rate_cards (card_id, currency, effective_from_ms, source) values
    ('default-jpy', 'JPY', 0, 'Oracle list prices, Compute Standard E4 (B93113, B93114), at 140 JPY per USD');
insert into rates (card_id, item, price) values
    ('default-jpy', 'ocpu_hour', 3.5),
    ('default-jpy', 'memory_gb_hour', 0.21),
    ('default-jpy', 'enhanced_cluster_hour', 14),
    ('default-jpy', 'virtual_node_hour', 2.1);
