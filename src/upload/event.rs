//! What the machine is told, and what it asks for.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::fault::{BlobFault, Fault};
use super::ledger::Ledger;
use super::policy::Strategy;
use super::record::Record;
use super::uri::{UploadUri, UriRefused};
use crate::ground::moment::Moment;

/// Something to be carried out. Each is answered by exactly one [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the sessions of the data store and pick out ours by file name.
    Find,
    /// Open a session.
    Create,
    /// Read the session.
    Fetch,
    /// Renew the session.
    Renew {
        /// How long the attempt may take.
        patience: Duration,
    },
    /// Report progress.
    Report(Report),
    /// Send one block.
    Send {
        /// Which.
        block: u32,
        /// How blocks travel.
        strategy: Strategy,
    },
    /// Send all blocks in one request.
    SendWhole {
        /// How they travel.
        strategy: Strategy,
    },
    /// Ask the store which blocks it holds.
    Inventory,
    /// Make the blob of its blocks.
    PutList,
    /// Hand the blocks over.
    Commit,
    /// Tell the service that the session is not needed any more.
    Abort,
    /// Look the canary row up.
    LookUpCanary,
}

/// A progress report: absolute counts, never a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Blocks still to be stored.
    pub remaining: u32,
    /// Blocks of the upload.
    pub total: u32,
    /// The word for where the session stands, unless it is not to be sent.
    pub state: Option<String>,
}

/// A command and whether it may leave before the journal has caught up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub command: Command,
    /// Whether every record of this upload so far must be durable first.
    pub after_records: bool,
}

/// What a step asks for: first the records, then the orders.
#[derive(Debug, Default)]
pub struct Step {
    /// What became true.
    pub records: Vec<Record>,
    /// What to do about it.
    pub orders: Vec<Order>,
}

/// A session as an answer of the service showed it.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The service's id.
    pub session: String,
    /// The file name it carries.
    pub file_name: String,
    /// The upload agent it belongs to, if it says.
    pub upload_agent: Option<String>,
    /// Where the blocks go, if it says.
    pub uri: Option<Result<UploadUri, UriRefused>>,
    /// The service's word for where it stands.
    pub state: String,
    /// The service's count of blocks.
    pub total_blocks: Option<u32>,
    /// Processing jobs left and in all.
    pub jobs: Option<(u32, u32)>,
    /// Whether the service says the upload is complete: its blocks were
    /// handed over.
    pub is_committed: bool,
    /// Whether the service says the session is at its end.
    pub is_over: bool,
    /// What went wrong, whole, as the service said it.
    pub error: Option<String>,
    /// When the request started.
    pub asked: Moment,
    /// The service's date in the answer.
    pub server_time: Option<DateTime<Utc>>,
}

/// The answer to a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To [`Command::Find`]: the open session that carries our file name.
    Found(Result<Option<Box<Sighting>>, Fault>),
    /// To [`Command::Create`].
    Created(Result<Box<Sighting>, Fault>),
    /// To [`Command::Create`] that was not sent: the bundle does not read as
    /// its manifest says, so there is no checksum to send.
    Undrafted,
    /// To [`Command::Fetch`].
    Fetched(Result<Box<Sighting>, Fault>),
    /// To [`Command::Renew`].
    Renewed(Result<Box<Sighting>, Fault>),
    /// To [`Command::Report`].
    Reported(Result<(), Fault>),
    /// To [`Command::Send`].
    Sent {
        /// Which block.
        block: u32,
        /// The number of the upload URI it was sent under.
        uri: u32,
        /// Whether the store took it.
        result: Result<(), BlobFault>,
    },
    /// To [`Command::SendWhole`].
    SentWhole {
        /// The number of the upload URI it was sent under.
        uri: u32,
        /// Whether the store took it.
        result: Result<(), BlobFault>,
    },
    /// To [`Command::Inventory`]: the blocks of ours that the store holds.
    Inventoried {
        /// The number of the upload URI it was asked under.
        uri: u32,
        /// What it holds.
        result: Result<Ledger, BlobFault>,
    },
    /// To [`Command::PutList`].
    ListPut {
        /// The number of the upload URI it was put under.
        uri: u32,
        /// Whether the store took it.
        result: Result<(), BlobFault>,
    },
    /// To [`Command::Commit`].
    Committed(Result<(), Fault>),
    /// To [`Command::Abort`].
    Aborted(Result<(), Fault>),
    /// To [`Command::LookUpCanary`]: whether the row was found.
    CanaryLookedUp(Result<bool, Fault>),
    /// To any command that could not leave when its turn came: what was left of
    /// the lease was less than the guard, or the upload wants something else by
    /// then.
    Held(Command),
}

/// Something the machine is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// A deadline came.
    Woke,
    /// A command was answered.
    Answered {
        /// The epoch it was asked in.
        epoch: u32,
        /// The answer.
        reply: Reply,
    },
    /// The other uploader of a tracked upload says which blocks it stored.
    Progressed(Ledger),
    /// A gate holds the upload, for these reasons. Said before anything else, or
    /// it comes too late.
    Held(Vec<String>),
    /// Somebody lets a held upload pass.
    ReleaseRequested,
    /// Somebody asks for a renewal now.
    RenewRequested,
    /// Somebody asks for the commit of a tracked upload.
    CommitRequested,
    /// Somebody asks for the end of the upload.
    CancelRequested,
    /// The rules of the quota changed: what waits for it may ask again.
    QuotaChanged,
    /// Newer content of its table takes its place. Told while none of its
    /// commands to open a session is under way.
    Replaced,
    /// The bundle cannot be opened on this host.
    BundleLost,
    /// The agent is stopping: start nothing new.
    StopRequested,
}
