//! Memberships: who is in which group.

use super::{group, user};
use crate::{
    args::Care,
    client::{self, Client},
    error::Error,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
};
use clap::Subcommand;
use serde_json::{Value, json};

const KIND: Kind = Kind {
    noun: "membership",
    command: "hako iam membership",
    path: "/20160918/userGroupMemberships",
    name: "id",
    scope: Scope::Tenancy,
    columns: &[
        Column("USER", "/userId"),
        Column("GROUP", "/groupId"),
        Column("STATE", "/lifecycleState"),
        Column("CREATED", "/timeCreated"),
        Column("ID", "/id"),
    ],
    goes: "; the user loses what the group may do",
};

/// What to do with memberships.
#[derive(Debug, Subcommand)]
pub(crate) enum MembershipVerb {
    /// Put a user into a group
    Create {
        /// The user
        #[arg(long, value_name = "NAME|OCID")]
        user: String,
        /// The group
        #[arg(long, value_name = "NAME|OCID")]
        group: String,
    },
    /// List who is in which group
    List {
        /// Only those of this user
        #[arg(long, value_name = "NAME|OCID", required_unless_present = "group")]
        user: Option<String>,
        /// Only those of this group
        #[arg(long, value_name = "NAME|OCID")]
        group: Option<String>,
    },
    /// Show a membership
    Get {
        /// Its OCID
        id: String,
    },
    /// Take a user out of a group
    Delete {
        /// OCID of the membership, instead of --user and --group
        #[arg(required_unless_present_all = ["user", "group"])]
        id: Option<String>,
        /// The user
        #[arg(long, value_name = "NAME|OCID", requires = "group", conflicts_with = "id")]
        user: Option<String>,
        /// The group
        #[arg(long, value_name = "NAME|OCID", requires = "user", conflicts_with = "id")]
        group: Option<String>,
        #[command(flatten)]
        care: Care,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: MembershipVerb) -> Result<(), Error> {
    match verb {
        MembershipVerb::Create { user, group } => {
            let body = Body::default()
                .set("userId", Some(user::KIND.find(client, &user).await?))
                .set("groupId", Some(group::KIND.find(client, &group).await?));
            let answer = client.change(&reqwest::Method::POST, KIND.path, Some(&body.json())).await?;
            KIND.finish(client, out, answer, None).await
        }
        MembershipVerb::List { user, group } => {
            out.list(&list(client, user.as_deref(), group.as_deref()).await?, KIND.columns)
        }
        MembershipVerb::Get { id } => KIND.show(client, out, client::segment(KIND.noun, &id)?).await,
        MembershipVerb::Delete { id, user, group, care } => {
            let id = match id {
                Some(id) => client::segment(KIND.noun, &id)?.to_owned(),
                None => {
                    let found = list(client, user.as_deref(), group.as_deref()).await?;
                    let found = found.first().and_then(|one| one["id"].as_str());
                    found.ok_or_else(|| Error::Failed("that user is not in that group".into()))?.to_owned()
                }
            };
            KIND.delete_found(client, out, (&id, KIND.goes), care, None).await
        }
    }
}

async fn list(client: &Client, user: Option<&str>, group: Option<&str>) -> Result<Vec<Value>, Error> {
    let user = user::KIND.find_if(client, user).await?;
    let group = group::KIND.find_if(client, group).await?;
    let mut query = vec![("compartmentId", client.tenancy()?)];
    query.extend(user.as_deref().map(|id| ("userId", id)));
    query.extend(group.as_deref().map(|id| ("groupId", id)));
    let mut found = client.list(KIND.path, &query).await?;
    found.retain(|one| one["lifecycleState"] != json!("DELETED"));
    Ok(found)
}
