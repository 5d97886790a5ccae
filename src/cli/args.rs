//! What may be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ground::units::parse_duration;
use crate::table::reader::Quotes;
use crate::table::reader::encoding::Encoding;

/// Keeps exact-match tables fresh: hashes them here, uploads the hashes, keeps
/// the session alive, and follows it until the table is live.
#[derive(Debug, Parser)]
#[command(name = "edm-agent", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Results as JSON on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole job once against a built-in sandbox, to see what it does.
    Demo(DemoArguments),
    /// Run as a service: uploads what changes, keeps every session alive.
    Run(RunArguments),
    /// Upload one table or bundle, and wait until it is live.
    Upload(UploadArguments),
    /// Hash a table into a bundle, without any network.
    Hash(HashArguments),
    /// Read a table to its end and say what is in it; writes nothing.
    Validate(ValidateArguments),
    /// Check the configuration and what it names.
    Check(CheckArguments),
    /// Have the running service read its configuration again.
    Reload,
    /// Show how everything stands.
    Status,
    /// List, show and change sessions.
    #[command(subcommand)]
    Sessions(SessionCommand),
    /// Print what happens, one JSON object a line.
    Events(EventArguments),
    /// List and show data stores.
    #[command(subcommand)]
    Stores(StoreCommand),
    /// Ask whether values, one a line on stdin, are in a live table.
    Lookup(LookupArguments),
    /// Run a stand-in for the service, to try things against.
    Sandbox(SandboxArguments),
    /// Print the completions of a shell, to be installed where it looks for them.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
    Man {
        /// The folder to write a page for each command to.
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// A shell that completes commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Rows of the table.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rows: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// How long blocks in flight may take to finish after SIGTERM.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) grace: Duration,
    /// Exit with 0 after SIGTERM even if it came during a start that failed, for
    /// managers that take any other code for a failed job.
    #[arg(long)]
    pub(crate) exit_zero_on_sigterm: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UploadArguments {
    /// A table of the configuration.
    #[arg(long, value_name = "NAME", required_unless_present = "bundle", conflicts_with = "bundle")]
    pub(crate) table: Option<String>,
    /// A bundle made by `hash`: a folder, or a sealed file.
    #[arg(long, value_name = "PATH", required_unless_present = "table")]
    pub(crate) bundle: Option<PathBuf>,
    /// The age identity file that opens a sealed bundle, instead of
    /// `bundles.identity_file`. Not for an agent that runs, which has its own.
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    pub(crate) identity: Option<PathBuf>,
    /// Whose signatures count, as an `allowed_signers` file of OpenSSH, instead of
    /// `bundles.trusted_keys_file`. Not for an agent that runs, which has its own.
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    pub(crate) trusted_keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wishes: WishArguments,
}

/// What is wanted of an upload besides.
#[derive(Debug, Args)]
pub(crate) struct WishArguments {
    /// Upload it even if the data store holds its content already.
    #[arg(long)]
    pub(crate) force: bool,
    /// Let it pass the gates, whatever its rows and blanks come to.
    #[arg(long)]
    pub(crate) accept: bool,
    /// Let its schema file disagree with the columns of the data store.
    #[arg(long)]
    pub(crate) allow_drift: bool,
}

/// Which table is read, and how.
#[derive(Debug, Args)]
pub(crate) struct InputArguments {
    /// A table of the configuration.
    #[arg(long, value_name = "NAME", conflicts_with = "input", required_unless_present = "input")]
    pub(crate) table: Option<String>,
    /// A table that no configuration names; `-` reads it from stdin.
    #[arg(long, value_name = "FILE", requires = "schema")]
    pub(crate) input: Option<PathBuf>,
    /// The EdmSchema file of `--input`.
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    pub(crate) schema: Option<PathBuf>,
    /// What separates the cells: auto, comma, tab, pipe, semicolon, or the character.
    #[arg(long, value_name = "WORD")]
    pub(crate) separator: Option<String>,
    /// What may wrap a value: double, single, microsoft or none.
    #[arg(long, value_name = "WORD")]
    pub(crate) quote: Option<Quotes>,
    /// How the characters are written: auto, utf-8, utf-16 or latin-1.
    #[arg(long, value_name = "WORD")]
    pub(crate) encoding: Option<Encoding>,
    /// Bad rows that are tolerated, in percent of all.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) allowed_bad_lines_percent: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    #[command(flatten)]
    pub(crate) input: InputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct HashArguments {
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// A file with the salt to use instead of a fresh one.
    #[arg(long, value_name = "FILE")]
    pub(crate) salt_file: Option<PathBuf>,
    /// Rows in each block; 0: as many as fit `upload.block_size`, which is 8MiB
    /// if nothing else is said.
    #[arg(long, value_name = "N")]
    pub(crate) rows_per_block: Option<u32>,
    /// Let the bundle be uploaded even if its schema disagrees with the columns of
    /// the data store.
    #[arg(long)]
    pub(crate) allow_drift: bool,
    /// The folder to make, or with recipients the file.
    #[arg(long, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// An age recipient, `age1…`, to seal the bundle to; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub(crate) recipient: Vec<String>,
    /// A file of age recipients, one a line; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient_file: Vec<PathBuf>,
    /// An Ed25519 key of OpenSSH, without passphrase, to sign the bundle with; the
    /// signature is beside it, with `.sig` behind its name.
    #[arg(long, value_name = "FILE")]
    pub(crate) sign_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the sessions this host keeps, or all of a data store.
    List {
        /// Ask the service for all sessions of this data store.
        #[arg(long, value_name = "STORE")]
        data_store: Option<String>,
    },
    /// Show one session.
    Show {
        /// The session's id, or the upload's.
        id: String,
        /// Ask the service, of this data store.
        #[arg(long, value_name = "STORE")]
        data_store: Option<String>,
    },
    /// Keep the session of another uploader alive, or open one for it.
    Track {
        /// The data store.
        #[arg(long, value_name = "STORE")]
        data_store: String,
        /// The session; without it one is opened.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Blocks of the upload.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        total_blocks: u32,
    },
    /// Renew a session now.
    Renew {
        /// The session's id, or the upload's.
        id: String,
    },
    /// Commit a tracked session whose blocks are all stored.
    Commit {
        /// The session's id, or the upload's.
        id: String,
        /// What to wait for: until the service has taken the commit, or until
        /// the table is live.
        #[arg(long, value_name = "WORD", default_value = "committed")]
        wait: Wait,
    },
    /// Let an upload pass that a gate holds.
    Release {
        /// The upload's id.
        id: String,
    },
    /// End an upload and its session.
    Cancel {
        /// The session's id, or the upload's.
        id: String,
    },
}

/// What a commit is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// The service has taken it.
    Committed,
    /// The table is live.
    Live,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Also sign in, ask the service, and try the disk; takes five seconds at most.
    #[arg(long)]
    pub(crate) online: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventArguments {
    /// Go on until interrupted; without it, print how things stand and end.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List the data stores.
    List,
    /// Show one data store.
    Show {
        /// Its id or display name.
        store: String,
    },
    /// Write the schema of a data store, as EdmSchema XML.
    Schema {
        /// Its id or display name.
        store: String,
        /// The file to write it to, which must not exist; stdout if none.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LookupArguments {
    /// A table of the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: String,
    /// The column the values are of.
    #[arg(long, value_name = "NAME")]
    pub(crate) column: String,
    /// The bundle whose salt to hash with, if the service does not show the salt.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bundle: Option<PathBuf>,
    /// Send the values as they are. They leave this host in clear text.
    #[arg(long)]
    pub(crate) send_clear_text: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SandboxArguments {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// How long a session lives without being renewed.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) session_ttl: Duration,
    /// How long an upload URI is good for.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) upload_uri_ttl: Duration,
    /// How long a committed table takes to go live.
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) processing_time: Duration,
    /// Sessions a data store may open in any 24 hours.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) sessions_per_day: u32,
    /// A script of faults and quirks.
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
    /// The seed of faults by probability.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// A data store that exists from the start, besides `PatientRecords`.
    #[arg(long = "store", value_name = "NAME")]
    pub(crate) stores: Vec<String>,
    /// Where to write the bearer token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Speak TLS, under an authority that is thrown away at the end.
    #[arg(long)]
    pub(crate) tls: bool,
    /// A name in the certificate besides localhost and its addresses.
    #[arg(long = "name", value_name = "HOST", requires = "tls")]
    pub(crate) names: Vec<String>,
    /// Where to write the certificate of that authority.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A folder to write credentials of every kind into, and to say how each is
    /// used.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) credentials: Option<PathBuf>,
}
