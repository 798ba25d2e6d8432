//! Rules of network security groups. Pure. Source of names and shapes: OCI Core Services API, `SecurityRule`.

use crate::{Error, cidr::Cidr, error::invalid, rest::time};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rules of one group. Source: OCI's limit.
const MAX_RULES: usize = 120;

/// Which way the traffic goes, seen from the group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Direction {
    /// To them.
    Ingress,
    /// From them.
    Egress,
}

/// What `source` and `destination` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PeerType {
    /// A range of addresses.
    CidrBlock,
    /// Members of another group, by OCID.
    NetworkSecurityGroup,
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecurityRuleDetails {
    /// Names the rule in updates; ignored when it is added.
    #[serde(default, skip_serializing)]
    pub(crate) id: Option<String>,
    pub(crate) direction: Direction,
    /// `all`, or an IPv4 protocol number: 1 ICMP, 6 TCP, 17 UDP.
    pub(crate) protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_type: Option<PeerType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destination: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destination_type: Option<PeerType>,
    /// True: answers need rules of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_stateless: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tcp_options: Option<PortOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) udp_options: Option<PortOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) icmp_options: Option<IcmpOptions>,
}

/// Ports that a rule is about; none: all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PortOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destination_port_range: Option<PortRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_port_range: Option<PortRange>,
}

/// Ports from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortRange {
    pub(crate) min: u16,
    pub(crate) max: u16,
}

/// Type and code of ICMP messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IcmpOptions {
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u8>,
}

/// One rule of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityRule {
    pub(crate) id: String,
    pub(crate) is_valid: bool,
    pub(crate) time_created: String,
    #[serde(flatten)]
    pub(crate) details: SecurityRuleDetails,
}

/// Adds rules; gives them with their ids.
pub(super) fn add(
    rules: &mut Vec<SecurityRule>,
    new: Vec<SecurityRuleDetails>,
    now_ms: i64,
) -> Result<Vec<SecurityRule>, Error> {
    if new.is_empty() {
        return Err(invalid("securityRules must name rules to add"));
    }
    if rules.len() + new.len() > MAX_RULES {
        return Err(invalid(format!("securityRules: a network security group has at most {MAX_RULES} rules")));
    }
    let mut added = Vec::new();
    for (at, mut details) in new.into_iter().enumerate() {
        check(&mut details).map_err(|why| invalid(format!("securityRules[{at}]: {why}")))?;
        details.id = None;
        let id = format!("{:06X}", rand::rng().next_u32() & 0x00ff_ffff);
        added.push(SecurityRule { id, is_valid: true, time_created: time(now_ms), details });
    }
    rules.extend(added.iter().cloned());
    Ok(added)
}

/// Changes rules; gives them as they are now.
pub(super) fn update(
    rules: &mut [SecurityRule],
    changes: Vec<SecurityRuleDetails>,
) -> Result<Vec<SecurityRule>, Error> {
    let mut changed = Vec::new();
    for (at, mut details) in changes.into_iter().enumerate() {
        check(&mut details).map_err(|why| invalid(format!("securityRules[{at}]: {why}")))?;
        let id = details.id.take().ok_or_else(|| invalid(format!("securityRules[{at}].id is missing")))?;
        let rule = rules.iter_mut().find(|rule| rule.id == id);
        let rule = rule.ok_or_else(|| invalid(format!("securityRules[{at}]: there is no rule {id:?}")))?;
        rule.details = details;
        changed.push(rule.clone());
    }
    Ok(changed)
}

/// Removes rules by id.
pub(super) fn remove(rules: &mut Vec<SecurityRule>, ids: &[String]) -> Result<(), Error> {
    for id in ids {
        let at = rules.iter().position(|rule| rule.id == *id);
        let at = at.ok_or_else(|| invalid(format!("securityRuleIds: there is no rule {id:?}")))?;
        rules.remove(at);
    }
    Ok(())
}

/// Checks one rule, and fills in the type of its peer.
fn check(rule: &mut SecurityRuleDetails) -> Result<(), String> {
    let (name, peer, kind, other) = match rule.direction {
        Direction::Ingress => ("source", &rule.source, &mut rule.source_type, &rule.destination),
        Direction::Egress => ("destination", &rule.destination, &mut rule.destination_type, &rule.source),
    };
    let peer = peer.as_deref().ok_or_else(|| format!("{name} is missing"))?;
    if other.is_some() {
        return Err(format!("a rule of this direction has a {name} only"));
    }
    match kind.get_or_insert(PeerType::CidrBlock) {
        PeerType::CidrBlock => {
            peer.parse::<Cidr>().map_err(|why| format!("{name}: {why}"))?;
        }
        PeerType::NetworkSecurityGroup => {
            peer.parse::<domain::SecurityGroupId>().map_err(|error| format!("{name}: {error}"))?;
        }
    }
    let number = rule.protocol.parse::<u8>();
    if rule.protocol != "all" && number.is_err() {
        return Err(format!("protocol must be all or a protocol number, not {:?}", rule.protocol));
    }
    let fits = [
        (rule.tcp_options.is_some(), "6", "tcpOptions"),
        (rule.udp_options.is_some(), "17", "udpOptions"),
        (rule.icmp_options.is_some(), "1", "icmpOptions"),
    ];
    if let Some((_, number, field)) = fits.into_iter().find(|(given, number, _)| *given && rule.protocol != *number) {
        return Err(format!("{field} needs protocol {number}"));
    }
    let ports = [&rule.tcp_options, &rule.udp_options].into_iter().flatten();
    let mut ranges = ports.flat_map(|options| [options.destination_port_range, options.source_port_range]).flatten();
    match ranges.find(|range| range.min == 0 || range.min > range.max) {
        Some(range) => Err(format!("{} to {} is no range of ports", range.min, range.max)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn checked(rule: Value) -> Result<SecurityRuleDetails, String> {
        let mut details = serde_json::from_value(rule).map_err(|error| error.to_string())?;
        check(&mut details).map(|()| details)
    }

    #[test]
    fn good_rules_are_taken() {
        let ports = json!({"destinationPortRange": {"min": 80, "max": 443}});
        let rule = json!({"direction": "INGRESS", "protocol": "6", "source": "0.0.0.0/0", "tcpOptions": ports});
        assert_eq!(checked(rule).unwrap().source_type, Some(PeerType::CidrBlock));
        let group = domain::SecurityGroupId::generate();
        let rule = json!({"direction": "EGRESS", "protocol": "all", "destination": group.as_str(),
                          "destinationType": "NETWORK_SECURITY_GROUP"});
        assert!(checked(rule).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (rule, expect) in [
            (json!({"direction": "UP", "protocol": "all"}), "unknown variant"),
            (json!({"direction": "INGRESS", "protocol": "all"}), "source is missing"),
            (json!({"direction": "INGRESS", "protocol": "tcp", "source": "10.0.0.0/8"}), "protocol must be"),
            (json!({"direction": "INGRESS", "protocol": "all", "source": "10.0.0.1/8"}), "bits set"),
            (
                json!({"direction": "INGRESS", "protocol": "all", "source": "10.0.0.0/8", "destination": "10.0.0.0/8"}),
                "source only",
            ),
            (
                json!({"direction": "EGRESS", "protocol": "17", "destination": "10.0.0.0/8", "tcpOptions": {}}),
                "needs protocol 6",
            ),
            (
                json!({"direction": "EGRESS", "protocol": "6", "destination": "10.0.0.0/8",
                       "tcpOptions": {"sourcePortRange": {"min": 9, "max": 8}}}),
                "no range of ports",
            ),
        ] {
            let why = checked(rule.clone()).unwrap_err();
            assert!(why.contains(expect), "{rule}: {why}");
        }
    }

    #[test]
    fn rules_are_added_changed_and_removed_by_id() {
        let rule = || checked(json!({"direction": "EGRESS", "protocol": "all", "destination": "10.0.0.0/8"})).unwrap();
        let mut rules = Vec::new();
        let added = add(&mut rules, vec![rule(), rule()], 0).unwrap();
        let change = SecurityRuleDetails { id: Some(added[0].id.clone()), protocol: "6".into(), ..rule() };
        update(&mut rules, vec![change]).unwrap();
        assert_eq!((rules[0].details.protocol.as_str(), rules[1].details.protocol.as_str()), ("6", "all"));
        remove(&mut rules, &[added[1].id.clone()]).unwrap();
        assert_eq!(rules.len(), 1);
        assert!(remove(&mut rules, &["x".into()]).is_err() && update(&mut rules, vec![rule()]).is_err());
    }
}
