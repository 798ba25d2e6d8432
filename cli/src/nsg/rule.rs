//! Rules of network security groups.

use super::KIND;
use crate::{
    args::Care,
    client::Client,
    error::Error,
    output::{Column, Output},
    request::Body,
    resource,
};
use clap::{Args as Group, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

const COLUMNS: &[Column] = &[
    Column("DIRECTION", "/direction"),
    Column("PROTOCOL", "/protocol"),
    Column("SOURCE", "/source"),
    Column("DESTINATION", "/destination"),
    Column("PORTS", "/ports"),
    Column("DESCRIPTION", "/description"),
    Column("ID", "/id"),
];

/// What to do with the rules of a group.
#[derive(Debug, Subcommand)]
pub(crate) enum RuleVerb {
    /// List the rules of a group
    List {
        /// The group
        #[arg(long, value_name = "NAME|OCID")]
        nsg: String,
        /// Only those of this direction
        #[arg(long, value_enum)]
        direction: Option<Direction>,
    },
    /// Add a rule to a group
    Add {
        #[command(flatten)]
        rule: Rule,
    },
    /// Put another rule in the place of one
    Update {
        /// Id of the rule
        id: String,
        #[command(flatten)]
        rule: Rule,
    },
    /// Remove rules from a group
    Remove {
        /// The group
        #[arg(long, value_name = "NAME|OCID")]
        nsg: String,
        /// Ids of the rules
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        care: Care,
    },
}

/// Which way the traffic goes, seen from the group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    /// To them
    Ingress,
    /// From them
    Egress,
}

/// A rule.
#[derive(Debug, Group)]
pub(crate) struct Rule {
    /// The group
    #[arg(long, value_name = "NAME|OCID")]
    nsg: String,
    /// Which way the traffic goes, seen from the group's members
    #[arg(long, value_enum)]
    direction: Direction,
    /// tcp, udp, icmp, all, or a protocol's number
    #[arg(long)]
    protocol: String,
    /// The other end: a range of addresses, or a network security group by name or OCID
    #[arg(long, value_name = "CIDR|NAME|OCID")]
    peer: String,
    /// Ports of the end that is asked: one, as `80`, or a range, as `8000-8100` [default: all]
    #[arg(long, value_name = "PORTS")]
    ports: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Answers are not let through by themselves
    #[arg(long)]
    stateless: bool,
}

pub(crate) async fn run(client: &Client, out: Output, verb: RuleVerb) -> Result<(), Error> {
    match verb {
        RuleVerb::List { nsg, direction } => {
            let path = format!("{}/securityRules", KIND.path_of(&KIND.find(client, &nsg).await?));
            let query: Vec<(&str, &str)> = direction.map(|it| ("direction", it.word())).into_iter().collect();
            out.list(&with_ports(client.list(&path, &query).await?), COLUMNS)
        }
        RuleVerb::Add { rule } => change(client, out, rule, None).await,
        RuleVerb::Update { id, rule } => change(client, out, rule, Some(id)).await,
        RuleVerb::Remove { nsg, ids, care } => {
            let group = KIND.find(client, &nsg).await?;
            if care.dry_run {
                eprintln!("hako: nothing is removed (--dry-run); without it these rules are: {}", ids.join(", "));
                return Ok(());
            }
            resource::confirm(care, &format!("remove {} rules of {nsg}?", ids.len()))?;
            let path = format!("{}/actions/removeSecurityRules", KIND.path_of(&group));
            client.change(&Method::POST, &path, Some(&json!({"securityRuleIds": ids}))).await.map(drop)
        }
    }
}

/// Adds a rule, or puts it in the place of the one with `id`.
async fn change(client: &Client, out: Output, rule: Rule, id: Option<String>) -> Result<(), Error> {
    let group = KIND.find(client, &rule.nsg).await?;
    let peer = match rule.peer.contains(['/', '.', ':']) && !rule.peer.starts_with("ocid1.") {
        true => (rule.peer.clone(), "CIDR_BLOCK"),
        false => (KIND.find(client, &rule.peer).await?, "NETWORK_SECURITY_GROUP"),
    };
    let action = if id.is_some() { "updateSecurityRules" } else { "addSecurityRules" };
    let body = json!({"securityRules": [rule.body(peer)?.set("id", id).json()]});
    let path = format!("{}/actions/{action}", KIND.path_of(&group));
    let answer = client.change(&Method::POST, &path, Some(&body)).await?.body.unwrap_or_default();
    let rules = answer["securityRules"].as_array().cloned().unwrap_or_default();
    out.list(&with_ports(rules), COLUMNS)
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::Ingress => "INGRESS",
            Self::Egress => "EGRESS",
        }
    }
}

impl Rule {
    fn body(&self, (peer, kind): (String, &str)) -> Result<Body, Error> {
        let (end, end_type) = match self.direction {
            Direction::Ingress => ("source", "sourceType"),
            Direction::Egress => ("destination", "destinationType"),
        };
        let (number, options) = match self.protocol.to_ascii_lowercase().as_str() {
            "tcp" | "6" => ("6".to_owned(), Some("tcpOptions")),
            "udp" | "17" => ("17".to_owned(), Some("udpOptions")),
            "icmp" | "1" => ("1".to_owned(), None),
            other => (other.to_owned(), None),
        };
        let ports = match (&self.ports, options) {
            (None, _) => None,
            (Some(text), Some(options)) => Some((options, json!({"destinationPortRange": ports(text)?}))),
            (Some(_), None) => return Err(Error::Misused("--ports: only tcp and udp have ports".into())),
        };
        let body = Body::default()
            .set("direction", Some(self.direction.word()))
            .set("protocol", Some(number))
            .set(end, Some(peer))
            .set(end_type, Some(kind))
            .set("description", self.description.clone())
            .set("isStateless", Some(self.stateless));
        Ok(match ports {
            Some((options, range)) => body.set(options, Some(range)),
            None => body,
        })
    }
}

fn ports(text: &str) -> Result<Value, Error> {
    let wrong = || Error::Misused(format!("--ports {text:?}: write one as 80, or a range as 8000-8100"));
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let [min, max] = [min, max].map(|port| port.trim().parse::<u16>().ok());
    let (min, max) = min.zip(max).filter(|(min, max)| min <= max).ok_or_else(wrong)?;
    Ok(json!({"min": min, "max": max}))
}

/// The rules with their ports in words.
fn with_ports(mut rules: Vec<Value>) -> Vec<Value> {
    for rule in &mut rules {
        let range = ["tcpOptions", "udpOptions"].iter().map(|of| &rule[*of]["destinationPortRange"]);
        let Some(range) = range.into_iter().find(|range| range.is_object()) else { continue };
        let text = match (&range["min"], &range["max"]) {
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min}-{max}"),
        };
        rule["ports"] = json!(text);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!(ports("80").unwrap(), json!({"min": 80, "max": 80}));
        assert_eq!(ports("1-2").unwrap(), json!({"min": 1, "max": 2}));
        for bad in ["", "a", "2-1", "1-", "70000"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_is_written_in_the_apis_words() {
        let rule = Rule {
            nsg: "n".into(),
            direction: Direction::Ingress,
            protocol: "TCP".into(),
            peer: "10.0.0.0/8".into(),
            ports: Some("443".into()),
            description: None,
            stateless: false,
        };
        let body = rule.body(("10.0.0.0/8".into(), "CIDR_BLOCK")).unwrap().json();
        let expect = json!({
            "direction": "INGRESS", "protocol": "6", "source": "10.0.0.0/8", "sourceType": "CIDR_BLOCK",
            "isStateless": false, "tcpOptions": {"destinationPortRange": {"min": 443, "max": 443}},
        });
        assert_eq!(body, expect);
        let icmp = Rule { protocol: "icmp".into(), ..rule };
        assert!(icmp.body(("10.0.0.0/8".into(), "CIDR_BLOCK")).is_err());
    }
}
