//! Names, label keys and values.

use kube_schema::Kind;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Why `name` cannot name an object of this kind; empty if it can. A prefix for `generateName` may end in a dash.
#[must_use]
pub fn validate_name(kind: &Kind, name: &str, prefix: bool) -> Vec<String> {
    let masked = match name.strip_suffix('-').filter(|_| prefix) {
        Some(stem) => format!("{stem}a"),
        None => name.to_owned(),
    };
    match kind.resource() {
        "services" => dns_1035(&masked),
        "namespaces" => dns_label(&masked),
        resource if resource.ends_with(".rbac.authorization.k8s.io") => path_segment(&masked),
        "ipaddresses.networking.k8s.io" => match masked.parse::<std::net::IpAddr>() {
            Ok(_) => Vec::new(),
            Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        },
        "cronjobs.batch" if masked.len() > 52 => vec!["must be no more than 52 characters".to_owned()],
        _ => dns_subdomain(&masked),
    }
}

fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// Whether a text has only `inner` characters and begins and ends with `edge` ones.
fn shaped(text: &str, edge: fn(char) -> bool, inner: fn(char) -> bool) -> bool {
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
}

fn is_label(text: &str) -> bool {
    shaped(text, lower, |c| lower(c) || c == '-')
}

fn checked(text: &str, limit: usize, good: bool, message: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > limit {
        messages.push(format!("must be no more than {limit} characters"));
    }
    if !good {
        messages.push(message.to_owned());
    }
    messages
}

/// Problems of a DNS label.
pub(super) fn dns_label(text: &str) -> Vec<String> {
    checked(text, 63, is_label(text), LABEL)
}

/// Problems of a DNS label that begins with a letter.
pub(super) fn dns_1035(text: &str) -> Vec<String> {
    checked(text, 63, is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()), LABEL_1035)
}

/// Problems of a DNS subdomain.
pub(super) fn dns_subdomain(text: &str) -> Vec<String> {
    checked(text, 253, text.split('.').all(is_label), SUBDOMAIN)
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Problems of a label's value.
pub(super) fn label_value(text: &str) -> Vec<String> {
    let good = text.is_empty() || shaped(text, |c| c.is_ascii_alphanumeric(), word);
    checked(text, 63, good, LABEL_VALUE)
}

/// Problems of a key of labels or annotations: `[prefix/]name`.
pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let name = match text.split_once('/') {
        Some((_, rest)) if rest.contains('/') => {
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {QUALIFIED} {tail}")];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                messages.extend(dns_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        None => text,
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    }
    let good = shaped(name, |c| c.is_ascii_alphanumeric(), word);
    messages.extend(checked(name, 63, good, QUALIFIED).into_iter().map(|m| format!("name part {m}")));
    messages
}

/// Problems of a key of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Vec<String> {
    let mut messages = checked(text, 253, !text.is_empty() && text.chars().all(word), CONFIG_KEY);
    if text == "." || text.starts_with("..") {
        let message =
            if text.len() > 2 { "must not start with '..'".to_owned() } else { format!("must not be '{text}'") };
        messages.push(message);
    }
    messages
}

/// Problems of a port's name.
pub(super) fn port_name(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut say = |bad: bool, message: &str| {
        if bad {
            messages.push(message.to_owned());
        }
    };
    say(text.len() > 15, "must be no more than 15 characters");
    say(
        !text.chars().all(|c| lower(c) || c == '-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    say(!text.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    say(text.contains("--"), "must not contain consecutive hyphens");
    say(text.starts_with('-') || text.ends_with('-'), "must not begin or end with a hyphen");
    messages
}

/// Problems of the name of an environment variable.
pub(super) fn env_name(text: &str) -> Vec<String> {
    if text.chars().all(|c| (' '..='~').contains(&c) && c != '=') && !text.is_empty() {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}
