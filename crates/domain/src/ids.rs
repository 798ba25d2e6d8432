//! Identifiers. Those of the cloud API are OCIDs: `ocid1.<type>.<realm>.<region>.<unique>`, opaque and unguessable.
//! Source of the form: Oracle Cloud's documentation, "Resource Identifiers".

use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Realm part of every id made here.
const REALM: &str = "hako";
/// Region part of every id made here.
const REGION: &str = "local-1";
/// Letters of the unique part: RFC 4648 base32 in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Length of the unique part: 260 random bits.
const UNIQUE_LEN: usize = 52;

/// Why a text is not an id of the asked kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an id of type {kind:?} (expected ocid1.{kind}.<realm>.<region>.<unique>)")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

fn unique() -> String {
    let mut raw = [0u8; UNIQUE_LEN];
    rand::rng().fill_bytes(&mut raw);
    raw.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

fn check(kind: &'static str, text: &str) -> Result<(), IdError> {
    let parts: Vec<&str> = text.split('.').collect();
    let fits = matches!(parts.as_slice(), ["ocid1", found, _, _, unique]
        if *found == kind && !unique.is_empty() && unique.bytes().all(|b| b.is_ascii_alphanumeric()))
        && text.len() <= 255;
    if fits { Ok(()) } else { Err(IdError { kind, text: text.chars().take(100).collect() }) }
}

macro_rules! ocid {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// A new id that nobody can guess.
            #[must_use]
            pub fn generate() -> Self {
                Self(format!("ocid1.{}.{REALM}.{REGION}.{}", $kind, unique()).into())
            }

            /// The id of an id's last part, as ids made here are: for host names, which hold no more.
            ///
            /// # Errors
            /// If the text is no such part.
            pub fn from_unique(unique: &str) -> Result<Self, IdError> {
                let fits = unique.len() == UNIQUE_LEN && unique.bytes().all(|byte| ALPHABET.contains(&byte));
                let refuse = || IdError { kind: $kind, text: unique.chars().take(100).collect() };
                if fits { Ok(Self(format!("ocid1.{}.{REALM}.{REGION}.{unique}", $kind).into())) } else { Err(refuse()) }
            }

            /// The whole id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The last part: 52 lower-case letters and digits, fit for a label or a host name.
            #[must_use]
            pub fn unique(&self) -> &str {
                self.0.rsplit('.').next().unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check($kind, text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ocid! {
    /// A tenancy: the customer that pays.
    TenantId = "tenancy";
    /// A folder of resources inside a tenancy, by which cost and permission are split.
    CompartmentId = "compartment";
    /// A person or a program of a tenancy.
    UserId = "user";
    /// A set of users, by which policies grant.
    GroupId = "group";
    /// That one user is in one group.
    MembershipId = "groupmembership";
    /// A set of statements about how much may be made.
    QuotaId = "quota";
    /// A set of statements about who may do what.
    PolicyId = "policy";
    /// A public key registered for a user.
    ApiKeyId = "apikey";
    /// A managed Kubernetes cluster.
    ClusterId = "cluster";
    /// A set of equal virtual nodes of a cluster.
    VirtualNodePoolId = "virtualnodepool";
    /// One virtual node.
    VirtualNodeId = "virtualnode";
    /// An asynchronous operation of the cloud API.
    WorkRequestId = "clustersworkrequest";
    /// A virtual cloud network.
    VcnId = "vcn";
    /// Containers that run together without Kubernetes.
    ContainerInstanceId = "computecontainerinstance";
    /// One container of a container instance.
    ContainerId = "computecontainer";
    /// A container instance's place in a network.
    VnicId = "vnic";
    /// A range of addresses of a virtual cloud network.
    SubnetId = "subnet";
    /// A set of rules about traffic of network interfaces.
    SecurityGroupId = "networksecuritygroup";
}

impl CompartmentId {
    /// The root compartment of a tenancy, whose id is the tenancy's own.
    #[must_use]
    pub fn root(tenant: &TenantId) -> Self {
        Self(tenant.0.clone())
    }

    /// Reads a compartment's id or, for the root compartment, a tenancy's.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        check("compartment", text).or_else(|_| check("tenancy", text)).map(|()| Self(text.into()))
    }
}

/// The name by which a host's agent is known: its certificate's common name is `host:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub Arc<str>);

impl HostId {
    /// The id in a client certificate's common name, if it is a host's.
    #[must_use]
    pub fn from_common_name(common_name: &str) -> Option<Self> {
        common_name.strip_prefix("host:").filter(|id| !id.is_empty()).map(|id| Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_parse_and_differ() {
        let (a, b) = (ClusterId::generate(), ClusterId::generate());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<ClusterId>(), Ok(a.clone()));
        assert_eq!(a.unique().len(), 52);
    }

    #[test]
    fn the_last_part_stands_for_the_whole_id() {
        let id = ClusterId::generate();
        assert_eq!(ClusterId::from_unique(id.unique()), Ok(id));
        for bad in ["", "abc", &"A".repeat(52), &"a".repeat(53)] {
            assert!(ClusterId::from_unique(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_of_another_type_is_refused() {
        assert!(TenantId::generate().as_str().parse::<ClusterId>().is_err());
        for bad in ["", "ocid1.cluster", "ocid1.cluster.hako.local-1.", "ocid1.cluster.hako.local-1.a/b", "*"] {
            assert!(bad.parse::<ClusterId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_root_compartment_is_named_by_the_tenancy() {
        let tenant = TenantId::generate();
        assert_eq!(CompartmentId::parse_any(tenant.as_str()), Ok(CompartmentId::root(&tenant)));
        assert!(CompartmentId::parse_any(ClusterId::generate().as_str()).is_err());
    }
}
