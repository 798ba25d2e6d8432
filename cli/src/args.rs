//! The command line: nouns, then verbs. Each noun's verbs are in its own file; what several share is here.

use crate::{
    api::Call,
    audit_event::AuditEventVerb,
    cluster::ClusterVerb,
    config::Connection,
    container::ContainerVerb,
    container_instance::InstanceVerb,
    iam::IamNoun,
    limit::LimitVerb,
    login::Login,
    nsg::NsgVerb,
    pod_shape::PodShapeVerb,
    quota::QuotaVerb,
    subnet::SubnetVerb,
    usage::UsageVerb,
    vcn::VcnVerb,
    virtual_node_pool::{NodeVerb, PoolVerb},
    work_request::WorkRequestVerb,
};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Create and use what the Hakobune cloud offers: clusters, container instances, networks, and who may use them.
#[derive(Debug, Parser)]
#[command(
    name = "hako", version, disable_help_subcommand = true, max_term_width = 100,
    after_long_help = crate::config::VARIABLES
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print
    #[arg(long, short, global = true, env = "HAKO_OUTPUT", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Form of what goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// The API's own objects
    Json,
    /// The same as YAML
    Yaml,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Managed Kubernetes clusters
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Sets of equal virtual nodes of a cluster
    #[command(subcommand)]
    VirtualNodePool(PoolVerb),
    /// The nodes of a pool
    #[command(subcommand)]
    VirtualNode(NodeVerb),
    /// Sizes and kinds of processor for pods
    #[command(subcommand)]
    PodShape(PodShapeVerb),
    /// Containers without a cluster
    #[command(subcommand)]
    ContainerInstance(InstanceVerb),
    /// The containers of container instances
    #[command(subcommand)]
    Container(ContainerVerb),
    /// Operations that take a while
    #[command(subcommand)]
    WorkRequest(WorkRequestVerb),
    /// What ran, how large, for how long, and what it costs
    #[command(subcommand)]
    Usage(UsageVerb),
    /// Compartments, users, groups, API keys and policies
    #[command(subcommand)]
    Iam(IamNoun),
    /// Rules of how much may be used in a compartment
    #[command(subcommand)]
    Quota(QuotaVerb),
    /// How much may be used, and how much is
    #[command(subcommand)]
    Limit(LimitVerb),
    /// Who changed what
    #[command(subcommand)]
    AuditEvent(AuditEventVerb),
    /// Virtual cloud networks
    #[command(subcommand)]
    Vcn(VcnVerb),
    /// Subnets of networks
    #[command(subcommand)]
    Subnet(SubnetVerb),
    /// Network security groups and their rules
    #[command(subcommand)]
    Nsg(NsgVerb),
    /// Call any operation of the API
    Api(Call),
    /// Log in with an identity provider, in a browser
    Login(Login),
    /// Forget what `hako login` got
    Logout,
    /// Print what makes a shell complete `hako`'s words
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Whether and how long to wait for the end of an operation.
#[derive(Debug, Clone, Copy, Group)]
pub(crate) struct Wait {
    /// Wait until it is done
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest time to wait, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) wait_timeout: u64,
}

/// One resource.
#[derive(Debug, Clone, Group)]
pub(crate) struct Target {
    /// Its name or its OCID
    #[arg(value_name = "NAME|OCID")]
    pub(crate) target: String,
}

/// Which resources to list.
#[derive(Debug, Clone, Default, Group)]
pub(crate) struct Listing {
    /// Only those with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those in this state; may be repeated [default: all but DELETED]
    #[arg(long, value_name = "STATE")]
    pub(crate) lifecycle_state: Vec<String>,
}

/// One resource that is to go.
#[derive(Debug, Clone, Group)]
pub(crate) struct Removal {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) care: Care,
}

/// What comes before a deletion.
#[derive(Debug, Clone, Copy, Group)]
pub(crate) struct Care {
    /// Only say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Don't ask first, as is done on a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Parts of a request beside those that have flags.
#[derive(Debug, Clone, Default, Group)]
pub(crate) struct Extra {
    /// File with more of the request, in JSON or YAML and the API's words (`-`: standard input); flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// Free-form tag, as `key=value`; may be repeated
    #[arg(long = "freeform-tag", value_name = "KEY=VALUE")]
    pub(crate) freeform_tags: Vec<String>,
}
