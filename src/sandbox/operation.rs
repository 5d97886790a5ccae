//! The operations the sandbox knows, by the names that scripts and the request
//! log use.

use std::fmt;

/// Declares the operations with their names.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// One operation of the service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation { $($(#[$doc])* $variant),+ }

        impl Operation {
            /// All operations, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name a script uses for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

operations! {
    /// GET the data stores.
    ListStores = "list-stores",
    /// POST a data store.
    CreateStore = "create-store",
    /// GET the number of data stores.
    CountStores = "count-stores",
    /// GET a data store.
    GetStore = "get-store",
    /// PATCH a data store.
    PatchStore = "patch-store",
    /// DELETE a data store.
    DeleteStore = "delete-store",
    /// POST a lookup.
    Lookup = "lookup",
    /// GET the sessions of a data store.
    ListSessions = "list-sessions",
    /// POST a session.
    Create = "create",
    /// GET the number of sessions.
    CountSessions = "count-sessions",
    /// GET a session.
    Get = "get",
    /// PATCH a session: the progress report.
    Patch = "patch",
    /// DELETE a session.
    Delete = "delete",
    /// POST a renewal.
    Renew = "renew",
    /// POST a commit.
    Commit = "commit",
    /// POST a cancel.
    Cancel = "cancel",
    /// GET a session's upload agent.
    GetSessionAgent = "get-session-agent",
    /// PATCH a session's upload agent.
    PatchSessionAgent = "patch-session-agent",
    /// DELETE a session's upload agent.
    DeleteSessionAgent = "delete-session-agent",
    /// GET the upload agents.
    ListAgents = "list-agents",
    /// POST an upload agent.
    CreateAgent = "create-agent",
    /// GET the number of upload agents.
    CountAgents = "count-agents",
    /// GET an upload agent.
    GetAgent = "get-agent",
    /// PATCH an upload agent.
    PatchAgent = "patch-agent",
    /// DELETE an upload agent.
    DeleteAgent = "delete-agent",
    /// POST for a token.
    Token = "token",
    /// GET a token of the machine's identity.
    ImdsToken = "imds-token",
    /// GET a token of an App Service's identity.
    AppServiceToken = "app-service-token",
    /// GET a token of an Arc machine's identity.
    ArcToken = "arc-token",
    /// Put Block.
    PutBlock = "put-block",
    /// Put Block List.
    PutBlockList = "put-block-list",
    /// Get Block List.
    GetBlockList = "get-block-list",
    /// Put Blob.
    PutBlob = "put-blob",
    /// Get Blob.
    GetBlob = "get-blob",
    /// A PUT to an address without a signature.
    PlainPut = "plain-put",
    /// Anything else.
    Unknown = "unknown",
}

impl Operation {
    /// Returns the operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
