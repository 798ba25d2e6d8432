//! Who there is, and who may do what: compartments, users, groups, API keys and policies.

mod api_key;
pub(crate) mod compartment;
mod group;
pub(crate) mod key;
mod membership;
mod policy;
mod region;
mod user;

use crate::{client::Client, error::Error, output::Output};
use clap::Subcommand;

/// What `hako iam` is about.
#[derive(Debug, Subcommand)]
pub(crate) enum IamNoun {
    /// Compartments: where resources are, in a tree
    #[command(subcommand)]
    Compartment(compartment::CompartmentVerb),
    /// Users of the tenancy
    #[command(subcommand)]
    User(user::UserVerb),
    /// Groups of users
    #[command(subcommand)]
    Group(group::GroupVerb),
    /// Who is in which group
    #[command(subcommand)]
    Membership(membership::MembershipVerb),
    /// Keys by which users are known
    #[command(subcommand)]
    ApiKey(api_key::ApiKeyVerb),
    /// Who may do what
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// The tenancy
    #[command(subcommand)]
    Tenancy(region::TenancyVerb),
    /// Regions, availability domains and fault domains
    #[command(subcommand)]
    Region(region::RegionVerb),
}

pub(crate) async fn run(client: &Client, out: Output, noun: IamNoun) -> Result<(), Error> {
    match noun {
        IamNoun::Compartment(verb) => compartment::run(client, out, verb).await,
        IamNoun::User(verb) => user::run(client, out, verb).await,
        IamNoun::Group(verb) => group::run(client, out, verb).await,
        IamNoun::Membership(verb) => membership::run(client, out, verb).await,
        IamNoun::ApiKey(verb) => api_key::run(client, out, verb).await,
        IamNoun::Policy(verb) => policy::run(client, out, verb).await,
        IamNoun::Tenancy(verb) => region::run_tenancy(client, out, verb).await,
        IamNoun::Region(verb) => region::run(client, out, verb).await,
    }
}
