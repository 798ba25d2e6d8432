//! Who calls: what the gateway tells the services behind it about an authenticated caller.

use crate::{ClusterId, TenantId, UserId};
use serde::{Deserialize, Serialize};

/// Header in which the gateway passes a [`Principal`]; believed only from the gateway's own certificate.
pub const PRINCIPAL_HEADER: &str = "x-hako-principal";

/// An authenticated caller of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// The tenancy that the caller belongs to.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The user's name, unique in the tenancy.
    pub user_name: String,
    /// Names of the user's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Set when the credential is good for one cluster only.
    #[serde(default)]
    pub cluster_id: Option<ClusterId>,
}

/// The header could not be read.
#[derive(Debug, thiserror::Error)]
#[error("malformed {PRINCIPAL_HEADER} header")]
pub struct PrincipalError;

impl Principal {
    /// The header's value: base64url without padding of the JSON form.
    #[must_use]
    pub fn to_header(&self) -> String {
        use base64::Engine;
        let json = serde_json::to_vec(self).expect("a principal has only text fields");
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a header's value.
    ///
    /// # Errors
    /// If it is not what [`Principal::to_header`] makes.
    pub fn from_header(value: &str) -> Result<Self, PrincipalError> {
        use base64::Engine;
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(value).map_err(|_| PrincipalError)?;
        serde_json::from_slice(&json).map_err(|_| PrincipalError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips() {
        let principal = Principal {
            tenant_id: TenantId::generate(),
            user_id: UserId::generate(),
            user_name: "admin".into(),
            groups: vec!["Administrators".into()],
            cluster_id: Some(ClusterId::generate()),
        };
        assert_eq!(Principal::from_header(&principal.to_header()).unwrap(), principal);
        assert!(Principal::from_header("%%%").is_err());
    }
}
