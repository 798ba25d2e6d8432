//! OCI's own clients, unmodified and over TLS: the Python SDK with typed models, the `oci` command, and kubectl with the
//! tokens that it makes. The work is done by `tests/oci/drive.py`, which says what is driven and what is refused.

use e2e::World;
use localcloud::{Options, clients};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn ocis_own_clients_do_all_that_is_offered_and_are_told_why_the_rest_is_not() {
    let cache = Options::new("unused").cache;
    clients::OCI.fetch(&cache, &|text| eprintln!("{text}")).expect("OCI's clients can be fetched");
    let world = World::up("oci");
    let table = format!("{HERE}/../crates/cloud/src/offered/operations.json");
    let drive = format!("PYTHONDONTWRITEBYTECODE=1 {} {HERE}/oci/drive.py", world.cloud.oci_python().display());
    let services = world.ok(&format!("{drive} --services"));
    assert!(services.contains("container_engine") && services.ends_with("commands"), "{services}");
    for service in services.lines() {
        let said = world.ok(&format!("{drive} {table} {service}"));
        println!("{said}");
        assert!(said.starts_with(&format!("{service}: ")), "{said}");
    }
    config_is_private(&world);
    a_cluster_has_a_host_name_of_its_own(&world);
}

fn config_is_private(world: &World) {
    let modes = world.ok("stat -c %a $OCI_CONFIG_FILE $(sed -n 's/^key_file=//p' $OCI_CONFIG_FILE)");
    assert_eq!(modes, "600\n600");
}

/// No name server knows the name here: the client gives it in the TLS handshake. The authority that signs for the name
/// is the cluster's, and comes with its kubeconfig.
fn a_cluster_has_a_host_name_of_its_own(world: &World) {
    world.ok("hako cluster create named --wait");
    let cluster = world.json("hako cluster get named --output json")["id"].as_str().unwrap().to_owned();
    let unique = cluster.rsplit('.').next().unwrap();
    let directory = world.cloud.state().display();
    world.ok(&format!(
        "cd {directory} && oci ce cluster create-kubeconfig --cluster-id {cluster} --file named.yaml \
         --token-version 2.0.0 --kube-endpoint VCN_HOSTNAME && \
         sed -n 's/.*certificate-authority-data: //p' named.yaml | base64 -d > named.pem"
    ));
    let kubectl = format!(
        "kubectl --kubeconfig /dev/null --server $HAKO_ENDPOINT --certificate-authority {directory}/named.pem \
         --tls-server-name {unique}.{}",
        localcloud::layout::CLUSTER_DOMAIN
    );
    let token = |command: &str| {
        format!("--token $({command} --cluster-id {cluster} | grep -o '\"token\": *\"[^\"]*' | cut -d'\"' -f4)")
    };
    for command in ["hako cluster generate-token", "oci ce cluster generate-token"] {
        let listed = world.ok(&format!("{kubectl} {} get namespaces", token(command)));
        assert!(listed.contains("kube-system"), "{listed}");
    }
    let refused = world.fails(&format!("{kubectl} --token x get namespaces"));
    assert!(refused.contains("Unauthorized") || refused.contains("logged in"), "{refused}");
}
