//! `hako` as a person uses it: who may do what, networks, every operation, and what its words look like.

use e2e::{World, eventually};
use serde_json::Value;

#[test]
fn hako_makes_users_networks_and_calls_anything() {
    let world = World::up("cli");
    words(&world);
    iam(&world);
    policies_by_compartment(&world);
    networks(&world);
    limits(&world);
    anything(&world);
    instances(&world);
    audit(&world);
}

/// Forms of output, completion, and errors.
fn words(world: &World) {
    let domains = world.json("hako iam region list-availability-domains -o json");
    let name = domains[0]["name"].as_str().unwrap();
    assert!(world.ok("hako iam region list-availability-domains").starts_with("NAME "));
    let yaml = world.ok("HAKO_OUTPUT=yaml hako iam region list-availability-domains");
    assert!(yaml.starts_with("- ") && yaml.contains(name), "{yaml}");
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef hako"), ("fish", "complete -c hako")] {
        assert!(world.ok(&format!("hako completion {shell}")).contains(word), "{shell}");
    }
    world.ok("source <(hako completion bash) && complete -p hako");
    let tenancy = world.json("hako iam tenancy get -o json");
    let faults = world.ok(&format!("hako iam region list-fault-domains --availability-domain {name}"));
    assert!(faults.contains("FAULT-DOMAIN-1"), "{faults}");
    assert_eq!(tenancy["id"], world.cloud.default_tenant().unwrap().tenancy_id.as_str());
    assert_eq!(world.sh("hako cluster get").code, 64);
    let missing = world.sh("hako cluster get no-such");
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("there is no cluster named \"no-such\"; `hako cluster list`"), "{}", missing.err);
}

/// A user with a key of its own may do what a policy says, and nothing else.
fn iam(world: &World) {
    world.ok("hako iam group create viewers --description 'who only look'
         hako iam user create alice --email alice@example.com
         hako iam membership create --user alice --group viewers
         hako iam api-key generate --user alice --key-file $HOME/alice.pem --add-profile alice");
    assert_eq!(world.ok("stat -c %a $HOME/alice.pem"), "600");
    let again = world.fails("hako iam api-key generate --user alice --key-file $HOME/alice.pem");
    assert!(again.contains("alice.pem"), "an old key is never written over: {again}");
    assert!(world.fails("hako --profile alice cluster list").contains("NotAuthorizedOrNotFound"));

    let statement = "Allow group viewers to inspect clusters in tenancy";
    world.ok(&format!("hako iam policy create look --statement '{statement}'"));
    assert!(world.ok("hako iam policy list").contains(statement));
    assert!(world.ok("hako --profile alice cluster list").starts_with("NAME"));
    let refused = world.sh("hako --profile alice cluster create mine");
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("NotAuthorizedOrNotFound") && refused.err.contains("hako iam policy"),
        "{}",
        refused.err
    );

    let manage = "Allow group viewers to manage cluster-family in tenancy";
    world.ok(&format!("hako iam policy update look --statement '{manage}'"));
    world.ok("hako --profile alice cluster create mine --wait");
    world.ok("hako --profile alice cluster delete mine --dry-run");
    world.ok("hako --profile alice cluster delete mine --yes --wait");

    // The same key by variables alone, and from a file in the form of OCI's.
    let key = world.json("hako iam api-key list --user alice -o json");
    let (user, fingerprint) = (key[0]["userId"].as_str().unwrap(), key[0]["fingerprint"].as_str().unwrap());
    let tenancy = world.cloud.default_tenant().unwrap().tenancy_id;
    world.ok(&format!(
        "unset HAKO_CONFIG HAKO_PROFILE OCI_CONFIG_FILE OCI_CLI_CONFIG_FILE
         HAKO_TENANCY={tenancy} HAKO_USER={user} HAKO_FINGERPRINT={fingerprint} HAKO_KEY_FILE=$HOME/alice.pem hako cluster list
         mkdir -p $HOME/.oci
         printf '[DEFAULT]\\nuser={user}\\nfingerprint={fingerprint}\\ntenancy={tenancy}\\nkey_file=~/alice.pem\\n' > $HOME/.oci/config
         hako cluster list
         rm -r $HOME/.oci"
    ));
    // That of the administrator, which `up` writes.
    world.ok("unset HAKO_CONFIG HAKO_PROFILE && hako iam user get alice");
    // Who has no key any more is nobody, once that is known everywhere.
    world.ok(&format!("hako iam api-key delete {fingerprint} --user alice --yes"));
    let gone = eventually(60, "the key no longer opens anything", || {
        let done = world.sh("hako --profile alice cluster list");
        (done.code != 0).then_some(done.err)
    });
    assert!(gone.contains("HTTP 401") && gone.contains("hako login"), "{gone}");
    world.ok("hako iam membership delete --user alice --group viewers --yes");
    world.ok(
        "hako iam policy delete look --yes && hako iam group delete viewers --yes && hako iam user delete alice --yes",
    );
    assert!(world.fails("hako iam user get alice").contains("there is no user named \"alice\""));
}

/// Compartments by name, and what is in them.
fn policies_by_compartment(world: &World) {
    world.ok("hako iam compartment create prod --freeform-tag team=web");
    world.ok("hako iam compartment create inner --compartment prod");
    assert!(world.ok("hako iam compartment list --all").contains("inner"));
    let inner = world.json("hako iam compartment get inner -o json");
    let prod = world.json("hako iam compartment get prod -o json");
    assert_eq!((&inner["compartmentId"], &prod["freeformTags"]["team"]), (&prod["id"], &Value::from("web")));
    world.ok("hako vcn create net --cidr-block 10.1.0.0/16 --compartment inner");
    assert!(!world.ok("hako vcn list").contains("net "), "it is in another compartment");
    world.ok("hako vcn delete net --compartment inner --yes");
}

fn networks(world: &World) {
    world.ok(
        "hako vcn create net --cidr-block 10.1.0.0/16
         hako subnet create web --vcn net --cidr-block 10.1.1.0/24
         hako nsg create front --vcn net
         hako nsg create back --vcn net
         hako nsg rule add --nsg front --direction ingress --protocol tcp --peer 0.0.0.0/0 --ports 443 --description https
         hako nsg rule add --nsg back --direction ingress --protocol tcp --peer front --ports 8000-8100",
    );
    let rules = world.ok("hako nsg rule list --nsg front --direction ingress");
    assert!(rules.contains("443") && rules.contains("https"), "{rules}");
    let back = world.json("hako nsg rule list --nsg back -o json");
    let front = world.json("hako nsg get front -o json");
    assert_eq!((&back[0]["source"], &back[0]["ports"]), (&front["id"], &Value::from("8000-8100")));
    world.ok(&format!("hako nsg rule remove {} --nsg back --yes", back[0]["id"].as_str().unwrap()));
    assert_eq!(world.json("hako nsg rule list --nsg back -o json").as_array().unwrap().len(), 0);
    assert_eq!(world.json("hako subnet list --vcn net -o json")[0]["cidrBlock"], "10.1.1.0/24");
    world.ok("hako subnet update web --name www");
    let full = world.fails("hako vcn delete net --yes");
    assert!(full.contains("HTTP 409"), "{full}");
    world.ok("hako nsg delete front --yes && hako nsg delete back --yes
         hako subnet delete www --yes && hako vcn delete net --yes");
}

fn limits(world: &World) {
    let limits = world.json("hako limit list -o json");
    let one = &limits[0];
    let (service, name) = (one["serviceName"].as_str().unwrap(), one["name"].as_str().unwrap());
    assert!(world.json(&format!("hako limit get {name} --service {service} -o json"))["used"].is_number());
    world.ok(&format!("hako quota create none --statement 'Zero {service} quota {name} in tenancy'"));
    assert!(world.ok("hako quota list").contains("none"));
    assert_eq!(world.json(&format!("hako limit get {name} --service {service} -o json"))["available"], 0);
    world.ok("hako quota delete none --yes");
}

/// Whatever has no noun.
fn anything(world: &World) {
    let query = "-q compartmentId='{tenancy}'";
    let users = world.json(&format!("hako api get /20160918/users {query} --all"));
    assert_eq!(users, world.json("hako iam user list -o json"));
    let body = r#"{"compartmentId": "'$TENANCY'", "name": "bob", "description": "by hand"}"#;
    let tenancy = world.cloud.default_tenant().unwrap().tenancy_id;
    let bob = world.json(&format!("TENANCY={tenancy}; hako api post /20160918/users --body '{body}'"));
    let id = bob["id"].as_str().unwrap();
    world.ok(&format!("echo '{{\"description\": \"from a file\"}}' | hako api put /20160918/users/{id} --body @-"));
    assert_eq!(world.json("hako iam user get bob -o json")["description"], "from a file");
    let done = world.sh(&format!("hako api delete /20160918/users/{id} --include"));
    assert!(done.code == 0 && done.err.contains("HTTP 204") && done.err.contains("opc-request-id"), "{}", done.err);
}

/// Container instances: one line from start to end, and those that stay.
fn instances(world: &World) {
    let run = "hako container-instance run $HAKO_REGISTRY/demo/busybox:1";
    let done = world.sh(&format!(
        "{run} --env GREETING=hello -- sh -c 'for i in 1 2 3; do echo $GREETING $i; sleep 1; done; exit 7'"
    ));
    assert_eq!((done.code, done.out.as_str()), (7, "hello 1\nhello 2\nhello 3"), "{}", done.err);
    assert_eq!(world.ok(&format!("{run} -- true")), "");
    let missing = world.fails("hako container-instance run $HAKO_REGISTRY/demo/no-such-image:1");
    assert!(missing.contains("no-such-image"), "{missing}");
    eventually(60, "what has run is gone", || {
        let left = world.json("hako container-instance list -o json");
        left.as_array().unwrap().iter().all(|one| one["lifecycleState"] == "DELETING").then_some(())
    });

    world.ok("hako container-instance create $HAKO_REGISTRY/demo/web:1 --name web --ocpus 1 --memory 2 --wait");
    let shown = world.ok("hako container-instance get web");
    assert!(shown.contains("ACTIVE") && shown.contains("CI.Standard.E4.Flex"), "{shown}");
    let exec = "hako container-instance exec web";
    let code = world.sh(&format!("{exec} -- sh -c 'echo out; echo err >&2; exit 5'"));
    assert_eq!((code.code, code.out.as_str(), code.err.as_str()), (5, "out", "err"));
    assert_eq!(world.ok(&format!("echo hello | {exec} -i -- sh -c 'cat; echo end'")), "hello\nend");
    assert_eq!(world.ok(&format!("head -c 3000000 /dev/zero | {exec} -i -- wc -c")), "3000000");
    let terminal = world
        .ok(&format!("script -qec \"stty rows 41 cols 97; {exec} -it -- sh -c 'sleep 1; stty size; exit'\" /dev/null"));
    assert!(terminal.contains("41 97"), "{terminal:?}");
    let followed = world.start(&["hako", "container-instance", "logs", "web", "--follow"]);
    followed.line(|line| line.contains("listens on port").then_some(()));
    world.ok(&format!("{exec} -- wget -qO- http://127.0.0.1/followed"));
    followed.line(|line| line.contains("GET /followed").then_some(()));
    world.ok("hako container-instance stop web --wait");
    assert!(world.ok("hako container-instance list --lifecycle-state INACTIVE").contains("web"));
    world.ok("hako container-instance start web --wait && hako container list --container-instance web");
    assert!(world.ok("hako work-request list --container-instance web").contains("START"));
    world.ok("hako container-instance delete web --yes --wait");
}

fn audit(world: &World) {
    let events = eventually(30, "what was done is in the audit log", || {
        let events = world.json("hako audit-event list -o json");
        let named = |name: &str| events.as_array().unwrap().iter().any(|one| one["data"]["eventName"] == name);
        (named("CreateUser") && named("DeleteUser")).then_some(events)
    });
    assert!(events[0]["data"]["identity"]["principalId"].as_str().unwrap().starts_with("ocid1.user."));
    assert!(world.ok("hako audit-event list").starts_with("TIME"));
}
