//! What comes of the cloud's answers: pages, errors, forms of output, and what happens before a deletion.

use crate::server::{Server, json, told};
use axum::response::Response;

const REFUSED: &str = r#"{"code": "NotAuthorizedOrNotFound", "message": "there is no such cluster"}"#;

/// Two pages of clusters, and one cluster.
fn clusters(asked: &crate::server::Asked) -> Response {
    let mut answer = match asked.line.as_str() {
        line if line.contains("page=two") => json(200, r#"[{"id": "ocid1.cluster.b", "name": "beta"}]"#),
        line if line.starts_with("GET /20180222/clusters?") => {
            json(200, r#"[{"id": "ocid1.cluster.a", "name": "alpha", "lifecycleState": "ACTIVE"}]"#)
        }
        "GET /20180222/clusters/ocid1.cluster.a" => json(200, r#"{"id": "ocid1.cluster.a", "name": "alpha"}"#),
        line if line.starts_with("GET /20180222/virtualNodePools") => json(200, "[]"),
        _ => json(404, REFUSED),
    };
    if asked.line.starts_with("GET /20180222/clusters?") && !asked.line.contains("page=") {
        answer.headers_mut().insert("opc-next-page", "two".parse().unwrap());
    }
    answer
}

#[test]
fn all_pages_are_read_and_printed_in_each_form() {
    let server = Server::start("pages", true, |asked, _| clusters(asked));
    let (code, out, err) = told(&server.hako(&["cluster", "list"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("NAME    STATE") && lines[1].starts_with("alpha   ACTIVE"), "{out}");
    assert!(lines[2].starts_with("beta    -") && lines.len() == 3, "{out}");

    let (_, out, _) = told(&server.hako(&["cluster", "list", "-o", "json"]));
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&"alpha".into(), &"beta".into()));
    let (_, out, _) = told(&server.hako(&["cluster", "list", "--output", "yaml"]));
    assert!(out.starts_with("- id: ocid1.cluster.a\n"), "{out}");
    let (_, all, _) =
        told(&server.hako(&["api", "get", "/20180222/clusters", "-q", "compartmentId={compartment}", "--all"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&all).unwrap(), list);
    let asked = server.asked();
    assert!(asked.iter().all(|one| one.authorization == "Bearer secret"), "{asked:?}");
    assert!(asked.iter().all(|one| one.line.contains("compartmentId=ocid1.tenancy.x")), "{asked:?}");
}

#[test]
fn a_refusal_says_what_failed_why_and_what_to_do() {
    let server = Server::start("refusal", true, |asked, _| clusters(asked));
    let (code, out, err) = told(&server.hako(&["cluster", "get", "ocid1.cluster.z"]));
    assert_eq!((code, out.as_str()), (1, ""));
    let begin = "hako cluster get: there is no such cluster (NotAuthorizedOrNotFound, HTTP 404, request r1)\n  ";
    assert!(err.starts_with(begin) && err.contains("hako iam policy list"), "{err}");

    let (code, _, err) = told(&server.hako(&["cluster", "get", "gamma"]));
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "hako cluster get: there is no cluster named \"gamma\"; `hako cluster list` shows those there are\n"
    );
}

#[test]
fn a_misused_command_line_is_told_so_and_nothing_is_asked() {
    let server = Server::start("misuse", true, |asked, _| clusters(asked));
    for words in [
        &["cluster", "get", ""][..],
        &["cluster", "get", "ocid1.x/../y"],
        &["cluster", "update", "ocid1.cluster.a"],
        &["cluster", "grow"],
        &["api", "get", "20180222/clusters"],
        &["api", "brew", "/20180222/clusters"],
        &["iam", "policy", "create", "p"],
        &["virtual-node-pool", "create", "--cluster", "ocid1.cluster.a", "--name", "p", "--size", "1", "--label", "x"],
    ] {
        let (code, out, err) = told(&server.hako(words));
        assert_eq!((code, out.as_str()), (64, ""), "{words:?}: {err}");
        assert!(!err.is_empty(), "{words:?}");
    }
    assert_eq!(server.asked().len(), 0, "{:?}", server.asked());
}

#[test]
fn what_the_service_cannot_answer_for_now_is_asked_again() {
    let busy = r#"{"code": "TooManyRequests", "message": "slower"}"#;
    let server =
        Server::start("busy", true, move |asked, before| if before == 0 { json(429, busy) } else { clusters(asked) });
    let (code, _, err) = told(&server.hako(&["cluster", "get", "ocid1.cluster.a"]));
    assert_eq!((code, err.as_str(), server.asked().len()), (0, "", 2));
}

#[test]
fn nothing_is_deleted_in_a_dry_run() {
    let server = Server::start("dry", true, |asked, _| clusters(asked));
    let (code, out, err) = told(&server.hako(&["cluster", "delete", "alpha", "--dry-run"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ocid1.cluster.a") && err.contains("nothing is deleted"), "{out}{err}");
    assert!(server.asked().iter().all(|one| one.line.starts_with("GET ")));
}

#[test]
fn a_compartment_is_found_by_its_name() {
    let server = Server::start("compartment", true, |asked, _| match asked.line.as_str() {
        line if line.starts_with("GET /20160918/compartments?") => {
            json(200, r#"[{"id": "ocid1.compartment.c", "name": "prod", "lifecycleState": "ACTIVE"}]"#)
        }
        _ => json(200, "[]"),
    });
    assert_eq!(told(&server.hako(&["cluster", "list", "--compartment", "prod"])).0, 0);
    let asked = server.asked();
    assert!(asked[0].line.contains("compartmentIdInSubtree=true") && asked[0].line.contains("name=prod"), "{asked:?}");
    assert!(asked[1].line.contains("compartmentId=ocid1.compartment.c"), "{asked:?}");
}

#[test]
fn a_cloud_that_is_not_there_is_told_with_its_address() {
    let server = Server::start("gone", true, |asked, _| clusters(asked));
    let mut command = server.command(&["cluster", "list", "--endpoint", "https://127.0.0.1:1"]);
    let (code, _, err) = told(&command.env("HAKO_TOKEN", "x").output().unwrap());
    assert_eq!(code, 1);
    assert!(err.contains("cannot reach https://127.0.0.1:1") && err.contains("HAKO_ENDPOINT"), "{err}");
}

#[test]
fn whoever_has_neither_key_nor_login_is_told_how_to_get_one() {
    let server = Server::start("nobody", true, |asked, _| clusters(asked));
    let (code, _, err) = told(&server.command(&["cluster", "list"]).output().unwrap());
    assert_eq!(code, 64);
    assert!(err.contains("hako login") && err.contains("hako iam api-key generate"), "{err}");
}
