//! Schemathesis, unmodified, against the OpenAPI document that the cloud serves: thousands of requests, good ones and bad
//! ones, made from what the document says. No answer may be a server error or differ from the document.

use e2e::World;
use localcloud::{Options, clients};

/// Examples for each operation, beside those that cover each of its parameters.
const EXAMPLES: u32 = 8;
/// What every answer is checked for.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Not tried: it learns the administrator's own key from other answers, removes it, and is a stranger from then on.
const EXCLUDED: &str = "delete_api_key";
/// Not tried either: what is refused with 501, which is checked with OCI's own SDK.
const REFUSED: &str = "Not offered";

#[test]
fn no_request_that_the_document_allows_or_forbids_breaks_the_cloud_api() {
    let cache = Options::new("unused").cache;
    clients::SCHEMATHESIS.fetch(&cache, &|text| eprintln!("{text}")).expect("schemathesis can be fetched");
    let world = World::up("schema");
    let st = clients::SCHEMATHESIS.directory(&cache).join("bin/st");
    let tenancy = world.cloud.default_tenant().unwrap().tenancy_id;
    // What can't be guessed is told, so that most requests get behind the first check.
    let settings = format!("[parameters]\ncompartmentId = \"{tenancy}\"\ntenancyId = \"{tenancy}\"\n");
    let directory = world.cloud.state().join("schemathesis");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("schemathesis.toml"), settings).unwrap();
    let bearer = e2e::Api::cloud(&world);
    let said = world.ok(&format!(
        "cd {} && {} --no-color run $HAKO_ENDPOINT/20160918/openapi.json --url $HAKO_ENDPOINT --tls-verify $HAKO_CA \
         --header 'authorization: Bearer {}' --checks {CHECKS} --phases coverage,fuzzing --max-examples {EXAMPLES} \
         --exclude-operation-id {EXCLUDED} --exclude-tag '{REFUSED}' --continue-on-failure --warnings off --seed 1",
        directory.display(),
        st.display(),
        bearer.token()
    ));
    println!("{said}");
    assert!(said.contains("passed") && !said.contains("Authentication failed"), "{said}");
    // Whatever came into being by good luck was not lost: the administrator still gets in.
    world.ok("hako cluster list");
}
