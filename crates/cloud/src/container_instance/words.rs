//! Words of container instances.

use crate::words::words;

words! {
    /// Where in its life an instance or a container is. Source: `ContainerInstance.lifecycleState`.
    /// CREATING → ACTIVE | INACTIVE | FAILED; ACTIVE ↔ INACTIVE, by UPDATING where a caller asked for it; any but DELETED →
    /// DELETING → DELETED.
    InstanceState {
        /// Being made.
        Creating = "CREATING",
        /// Being changed, started or stopped.
        Updating = "UPDATING",
        /// Runs.
        Active = "ACTIVE",
        /// Does not run: stopped, or all its containers have ended.
        Inactive = "INACTIVE",
        /// Being deleted.
        Deleting = "DELETING",
        /// Gone; the row stays for a while.
        Deleted = "DELETED",
        /// Could not be made.
        Failed = "FAILED",
    }

    /// What the caller wants of an instance at last.
    Wish {
        /// That it runs.
        Run = "RUN",
        /// That nothing of it is on any host.
        Stop = "STOP",
        /// That it is gone.
        Delete = "DELETE",
    }

    /// When containers that have ended start again.
    RestartPolicy {
        /// Always.
        Always = "ALWAYS",
        /// Never.
        Never = "NEVER",
        /// When they ended with another code than 0.
        OnFailure = "ON_FAILURE",
    }

    /// Kinds of volumes.
    VolumeType {
        /// Empty at first, gone with the instance's run.
        EmptyDir = "EMPTYDIR",
        /// Files that come with the request.
        ConfigFile = "CONFIGFILE",
    }

    /// Where an EMPTYDIR lies.
    BackingStore {
        /// On the host's disk.
        Disk = "EPHEMERAL_STORAGE",
        /// In memory, which counts against the instance's.
        Memory = "MEMORY",
    }

    /// Kinds of health checks.
    HealthCheckType {
        /// A GET that is answered with 200 to 399.
        Http = "HTTP",
        /// A connection that is taken.
        Tcp = "TCP",
    }

    /// What a failing health check does.
    FailureAction {
        /// The container is stopped, and starts again or not by the restart policy.
        Kill = "KILL",
        /// It is told.
        None = "NONE",
    }

    /// How a health check stands.
    HealthStatus {
        /// It succeeds.
        Healthy = "HEALTHY",
        /// It fails.
        Unhealthy = "UNHEALTHY",
        /// Nothing is settled yet, or the container does not run.
        Unknown = "UNKNOWN",
    }

    /// Kinds of credentials for registries.
    SecretType {
        /// A name and a password.
        Basic = "BASIC",
        /// One in a vault.
        Vault = "VAULT",
    }

    /// Kinds of security contexts.
    SecurityContextType {
        /// The only one.
        Linux = "LINUX",
    }

    /// Capabilities that may be added or dropped. Source: `ContainerCapabilityType`.
    Capability {
        /// See capabilities(7), as for all of them.
        Chown = "CAP_CHOWN",
        DacOverride = "CAP_DAC_OVERRIDE",
        Fsetid = "CAP_FSETID",
        Fowner = "CAP_FOWNER",
        Mknod = "CAP_MKNOD",
        NetRaw = "CAP_NET_RAW",
        Setgid = "CAP_SETGID",
        Setuid = "CAP_SETUID",
        Setfcap = "CAP_SETFCAP",
        Setpcap = "CAP_SETPCAP",
        NetBindService = "CAP_NET_BIND_SERVICE",
        SysChroot = "CAP_SYS_CHROOT",
        Kill = "CAP_KILL",
        AuditWrite = "CAP_AUDIT_WRITE",
        All = "ALL",
    }
}
