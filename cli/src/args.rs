//! The command line: nouns, then verbs.

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Create and use clusters of the Hakobune cloud.
#[derive(Debug, Parser)]
#[command(name = "hako", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// How to reach the cloud, and as whom.
#[derive(Debug, Clone, Default, Group)]
pub(crate) struct Connection {
    /// Profile of the configuration file
    #[arg(long, global = true, env = "HAKO_PROFILE", default_value = "DEFAULT")]
    pub(crate) profile: String,
    /// Configuration file [default: ~/.hako/config.toml]
    #[arg(long, global = true, env = "HAKO_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// URL of the cloud, instead of the profile's
    #[arg(long, global = true, env = "HAKO_ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// File with the CA of the cloud's certificate, instead of the profile's
    #[arg(long, global = true, env = "HAKO_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// OCID of the compartment to work in, instead of the profile's
    #[arg(long, global = true, env = "HAKO_COMPARTMENT")]
    pub(crate) compartment: Option<String>,
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
    /// Operations that take a while
    #[command(subcommand)]
    WorkRequest(WorkRequestVerb),
    /// Sizes and kinds of processor for pods
    #[command(subcommand)]
    PodShape(PodShapeVerb),
    /// What ran, how large, for how long, and what it costs
    #[command(subcommand)]
    Usage(UsageVerb),
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

/// What to do with clusters. A cluster is given by its name or its OCID.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Create a cluster
    Create {
        /// Name of the new cluster
        name: String,
        /// BASIC_CLUSTER or ENHANCED_CLUSTER; only the latter has virtual nodes [default: BASIC_CLUSTER]
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Kubernetes version, as `v1.36.0` [default: the newest]
        #[arg(long)]
        kubernetes_version: Option<String>,
        /// Range of pod addresses [default: 10.244.0.0/16]
        #[arg(long, value_name = "CIDR")]
        pods_cidr: Option<String>,
        /// Range of Service addresses [default: 10.96.0.0/16]
        #[arg(long, value_name = "CIDR")]
        services_cidr: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List clusters
    List {
        /// Only those with this name
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state; may be repeated
        #[arg(long)]
        lifecycle_state: Vec<String>,
    },
    /// Show a cluster
    Get { cluster: String },
    /// Change a cluster: name, version, or Basic to Enhanced
    Update {
        cluster: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// ENHANCED_CLUSTER; there is no way back
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Version to upgrade to
        #[arg(long)]
        kubernetes_version: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop everything that a cluster runs; its objects stay, and it costs nothing
    Pause {
        cluster: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let a paused cluster run again
    Resume {
        cluster: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Issue new credentials of a cluster; the old ones hold until the rotation is completed
    StartCredentialRotation {
        cluster: String,
        /// When the old credentials end by themselves, as ISO 8601, up to 14 days
        #[arg(long, default_value = "P5D", value_name = "DURATION")]
        auto_completion_delay_duration: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// End the old credentials of a cluster
    CompleteCredentialRotation {
        cluster: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a cluster and everything in it
    Delete {
        cluster: String,
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Merge access to a cluster into a kubeconfig file
    CreateKubeconfig {
        cluster: String,
        /// File to merge into [default: the first of $KUBECONFIG, or ~/.kube/config]
        #[arg(long)]
        file: Option<PathBuf>,
        /// PUBLIC_ENDPOINT: the cloud's, with its CA; VCN_HOSTNAME: the cluster's own host name, with the cluster's own CA
        #[arg(long, default_value = "PUBLIC_ENDPOINT", value_name = "ENDPOINT")]
        kube_endpoint: String,
    },
    /// Print a token for kubectl (an ExecCredential), good for 5 minutes
    GenerateToken {
        /// OCID of the cluster
        #[arg(long)]
        cluster_id: String,
    },
}

/// What to do with pools of virtual nodes. A pool is given by its OCID, or by its name and `--cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolVerb {
    /// Create a pool
    Create {
        /// Cluster of the pool
        #[arg(long)]
        cluster: String,
        /// Name of the new pool
        #[arg(long)]
        name: String,
        /// Number of nodes
        #[arg(long)]
        size: u32,
        /// Shape of the pods [default: Pod.Standard.E4.Flex]
        #[arg(long)]
        pod_shape: Option<String>,
        /// Label of the nodes, as `key=value`; may be repeated
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// Taint of the nodes, as `key=value:effect`; may be repeated
        #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT")]
        taints: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List pools
    List {
        /// Only those of this cluster
        #[arg(long)]
        cluster: Option<String>,
    },
    /// Show a pool
    Get {
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
    },
    /// Change a pool; fewer nodes are drained first
    Update {
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
        /// New number of nodes
        #[arg(long)]
        size: Option<u32>,
        /// Version to upgrade the nodes to; pods keep running
        #[arg(long)]
        kubernetes_version: Option<String>,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a pool; its pods move to other pools of the cluster or wait
    Delete {
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// What to do with virtual nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List the nodes of a pool
    List {
        /// The pool
        #[arg(long)]
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
    },
}

/// What to do with work requests.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkRequestVerb {
    /// List work requests
    List {
        /// Only those of this cluster
        #[arg(long)]
        cluster: Option<String>,
    },
    /// Show a work request
    Get { id: String },
    /// Show what a work request did
    Logs { id: String },
    /// Show why a work request failed
    Errors { id: String },
}

/// What to do with pod shapes.
#[derive(Debug, Subcommand)]
pub(crate) enum PodShapeVerb {
    /// List pod shapes
    List,
}

/// What to do with usage.
#[derive(Debug, Subcommand)]
pub(crate) enum UsageVerb {
    /// List what each pod used and what that costs so far
    List {
        /// Cluster, by name or OCID; also one that was deleted, by OCID
        #[arg(long)]
        cluster: String,
        /// Only pods of this namespace
        #[arg(long, short)]
        namespace: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The help of a command and of all below it.
    fn help(command: &mut clap::Command, path: &str, text: &mut String) {
        text.push_str(&format!("$ {path} --help\n{}\n", command.render_long_help()));
        for sub in command.get_subcommands_mut() {
            let path = format!("{path} {}", sub.get_name());
            help(sub, &path, text);
        }
    }

    #[test]
    fn help_texts_are_as_they_were() {
        // The environment of whoever runs the tests must not show in the texts.
        let mut command = Args::command().mut_args(|arg| arg.hide_env_values(true));
        command.build();
        let mut text = String::new();
        help(&mut command, "hako", &mut text);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
