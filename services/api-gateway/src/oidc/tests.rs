use super::*;
use serde_json::json;

fn provider(change: Value) -> Provider {
    let mut text = json!({
        "issuer": "https://id.example", "audience": "hako", "tenancy": TenantId::generate(), "username_claim": "email",
    });
    text.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(text).unwrap()
}

fn named(provider: &Provider, claims: Value) -> Result<(String, Vec<String>), String> {
    let identity = identity(provider, claims.as_object().unwrap());
    identity.map(|identity| (identity.user_name, identity.groups)).map_err(|error| error.to_string())
}

#[test]
fn a_mail_address_counts_only_if_the_provider_checked_it() {
    let provider = provider(json!({}));
    let claims = |verified: Value| json!({"exp": 1, "email": "a@b.example", "email_verified": verified});
    assert_eq!(named(&provider, claims(json!(true))), Ok(("a@b.example".into(), vec![])));
    for verified in [json!(false), json!("true"), json!(null)] {
        assert!(named(&provider, claims(verified)).is_err());
    }
    assert_eq!(named(&provider, json!({"exp": 1, "email": "a@b"})), Ok(("a@b".into(), vec![])));
    assert!(named(&provider, json!({"exp": 1, "sub": "a"})).unwrap_err().ends_with("no usable claim email"));
}

#[test]
fn groups_come_from_a_token_only_as_they_are_mapped() {
    let claims = json!({"exp": 1, "sub": "ann", "groups": ["ops", "Administrators", "dev"]});
    let with = |change: Value| named(&provider(change), claims.clone()).unwrap();
    let base = json!({"username_claim": "sub", "username_prefix": "x-"});
    assert_eq!(with(base.clone()), ("x-ann".into(), vec![]));
    let mut mapped = base;
    mapped["groups_claim"] = json!("groups");
    assert_eq!(with(mapped.clone()).1, Vec::<String>::new());
    mapped["groups"] = json!({"ops": "Operators", "other": "Administrators"});
    assert_eq!(with(mapped).1, ["Operators"]);
}

#[test]
fn logs_do_not_show_mail_addresses() {
    let provider = provider(json!({}));
    let named =
        |email: &str| identity(&provider, json!({"exp": 1, "email": email}).as_object().unwrap()).unwrap().shown_name();
    assert_eq!((named("ann@b.example"), named("ann")), ("a...@b.example".into(), "ann".into()));
}

#[test]
fn a_provider_must_be_https_and_its_groups_need_a_claim() {
    for wrong in [
        json!({"issuer": "http://id.example"}),
        json!({"audience": ""}),
        json!({"issuer": "hako"}),
        json!({"groups": {"a": "b"}}),
    ] {
        assert!(Oidc::new(&[provider(wrong.clone())]).is_err(), "{wrong}");
    }
    let oidc = Oidc::new(&[provider(json!({}))]).unwrap();
    assert!(oidc.knows("https://id.example") && !oidc.knows("https://id.example/"));
}
