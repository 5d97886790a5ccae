//! Carrying commands out: one attempt each, and always exactly one answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::settings::{Canary, Settings};
use crate::adapters::bundle::{BufferPool, Bundle};
use crate::adapters::graph::settings::{Abort, Checksum};
use crate::ground::secret::Secret;
use crate::ports::blobs::{BlobError, BlobStore, BlockPut, BlockTarget, WholePut, WholeTarget};
use crate::ports::contract::{Session, SessionChanges, SessionDraft};
use crate::ports::journal::Entry;
use crate::ports::service::{Answer, LookupQuery, ServiceError, SessionKey, SessionService};
use crate::table::digest::{CellDigest, CellHasher, hex};
use crate::table::normalise::Normaliser;
use crate::table::salt::Salt;
use crate::table::schema::Field;
use crate::upload::event::{Command, Reply, Report, Sighting};
use crate::upload::fault::{BlobFault, Fault};
use crate::upload::ledger::Ledger;
use crate::upload::plan::Plan;
use crate::upload::policy::Strategy;
use crate::upload::uri::UploadUri;

/// A command with all that carrying it out takes.
pub struct Job {
    /// What to do.
    pub command: Command,
    /// The upload it is of.
    pub entry: Arc<Entry>,
    /// The configuration the upload began with.
    pub rules: Arc<Settings>,
    /// How long a request to the blob store may take.
    pub patience: Duration,
    /// The session it concerns, once there is one.
    pub session: Option<String>,
    /// The current upload URI and its number, once there is one.
    pub uri: Option<(UploadUri, u32)>,
    /// The upload's bundle, if this agent sends its blocks.
    pub bundle: Option<Arc<Bundle>>,
    /// The session's entity tag, if one was seen.
    pub etag: Option<String>,
    /// The upload agent this host is registered as.
    pub upload_agent: Option<String>,
    /// The synthetic row of the table.
    pub canary: Option<Canary>,
}

/// What came of a command.
pub struct Performed {
    /// The answer for the machine.
    pub reply: Reply,
    /// What went wrong, for people.
    pub trouble: Option<String>,
    /// The session's entity tag, if one was seen.
    pub etag: Option<String>,
}

/// Carries commands out against the ports.
pub struct Performer {
    /// The session service.
    pub service: Arc<dyn SessionService>,
    /// The store behind upload URIs.
    pub blobs: Arc<dyn BlobStore>,
    /// Buffers for blocks in flight.
    pub pool: BufferPool,
}

impl Performer {
    /// Carries a command out.
    pub async fn perform(&self, job: Job) -> Performed {
        match job.command.clone() {
            Command::Find => self.find(&job).await,
            Command::Create => self.create(&job).await,
            Command::Fetch => {
                let asked = self.service.session(&key(&job)).await;
                sighted(&job, asked, Reply::Fetched)
            }
            Command::Renew { patience } => {
                let asked = self.service.renew(&key(&job), patience).await;
                sighted(&job, asked, Reply::Renewed)
            }
            Command::Report(report) => self.report(&job, report).await,
            Command::Commit => done(self.service.commit(&key(&job)).await, Reply::Committed),
            Command::Abort => self.abort(&job).await,
            Command::LookUpCanary => self.look_up_canary(&job).await,
            Command::Send { block, strategy } => self.send(&job, block, strategy).await,
            Command::SendWhole { strategy } => self.send_whole(&job, strategy).await,
            Command::Inventory => self.inventory(&job).await,
            Command::PutList => self.put_list(&job).await,
        }
    }

    async fn find(&self, job: &Job) -> Performed {
        let plan = &job.entry.plan;
        match self.service.sessions(&plan.store).await {
            Ok(Answer { value, asked, server_time }) => {
                let ours = value
                    .into_iter()
                    .find(|session| session.file_name == plan.file_name && is_open(session, &job.rules));
                let ours = ours.filter(|session| !is_of_another_store(plan, session));
                let found = ours.map(|value| Box::new(sighting(Answer { value, asked, server_time }, &job.rules)));
                answered(Reply::Found(Ok(found)))
            }
            Err(error) => refused(error, |fault| Reply::Found(Err(fault))),
        }
    }

    async fn create(&self, job: &Job) -> Performed {
        let plan = &job.entry.plan;
        let mut draft = SessionDraft {
            file_name: plan.file_name.clone(),
            total_block_count: plan.total_blocks,
            remaining_block_count: plan.total_blocks,
            upload_agent_id: job.upload_agent.clone(),
            ..SessionDraft::default()
        };
        if let Some(bundle) = &job.bundle
            && let Err(trouble) = describe(&mut draft, bundle, job.rules.contract.checksum).await
        {
            return Performed { trouble: Some(trouble), ..answered(Reply::Undrafted) };
        }
        let asked = self.service.create(&plan.store, draft).await;
        sighted(job, asked, Reply::Created)
    }

    async fn report(&self, job: &Job, report: Report) -> Performed {
        let changes = SessionChanges {
            remaining_block_count: Some(report.remaining),
            total_block_count: Some(report.total),
            state: report.state,
            if_match: job.etag.clone().filter(|_| job.rules.contract.if_match),
        };
        let conditional = changes.if_match.is_some();
        match self.service.update(&key(job), changes).await {
            Ok(answer) => Performed { reply: Reply::Reported(Ok(())), trouble: None, etag: answer.value.etag },
            Err(error) => {
                // A changed entity tag is the likeliest conflict: read the new one for the next attempt.
                let etag = match conditional && error.fault == Fault::Conflict {
                    true => self.service.session(&key(job)).await.ok().and_then(|answer| answer.value.etag),
                    false => None,
                };
                Performed { etag, ..refused(error, |fault| Reply::Reported(Err(fault))) }
            }
        }
    }

    async fn abort(&self, job: &Job) -> Performed {
        let asked = match job.rules.contract.abort {
            Abort::Cancel => self.service.cancel(&key(job)).await,
            Abort::Delete => self.service.delete(&key(job)).await,
            Abort::Leave => return answered(Reply::Aborted(Ok(()))),
        };
        done(asked, Reply::Aborted)
    }

    async fn look_up_canary(&self, job: &Job) -> Performed {
        let (Some(bundle), Some(canary)) = (&job.bundle, &job.canary) else {
            let trouble = "look up the canary row: its bundle is gone, so this was not checked".to_owned();
            return Performed { trouble: Some(trouble), ..answered(Reply::CanaryLookedUp(Ok(true))) };
        };
        let Some(query) = hashed_query(bundle, &canary.column, &[canary.value.as_bytes()]) else {
            let trouble = format!("look up the canary row: the table has no column {}", canary.column);
            return Performed { trouble: Some(trouble), ..answered(Reply::CanaryLookedUp(Ok(false))) };
        };
        match self.service.lookup(&job.entry.plan.store, query).await {
            Ok(answer) => answered(Reply::CanaryLookedUp(Ok(!answer.value.is_empty()))),
            Err(error) => refused(error, |fault| Reply::CanaryLookedUp(Err(fault))),
        }
    }

    async fn send(&self, job: &Job, block: u32, strategy: Strategy) -> Performed {
        let Some((uri, number)) = job.uri.clone() else { return unsent(job) };
        let reply = |result| Reply::Sent { block, uri: number, result };
        let Some(bundle) = job.bundle.clone() else { return answered(reply(Err(BlobFault::Bundle))) };
        let entry = match bundle.manifest().blocks.get(block as usize) {
            Some(entry) => entry.clone(),
            None => return answered(reply(Err(BlobFault::Bundle))),
        };
        let target = match strategy {
            Strategy::BlobPerBlock => {
                BlockTarget::Blob { name: blob_name(&job.entry.plan.file_name, block, &entry.sha256) }
            }
            Strategy::BlockList | Strategy::PutBlob | Strategy::PlainPut => {
                BlockTarget::Block { id: block_id(&bundle, block) }
            }
        };
        let body = match self.read(bundle, block).await {
            Ok(body) => body,
            Err(trouble) => return Performed { trouble: Some(trouble), ..answered(reply(Err(BlobFault::Bundle))) },
        };
        let put = BlockPut { target, body, crc64: entry.crc64nvme, patience: job.patience };
        stored(self.blobs.put(uri, put).await, reply)
    }

    async fn read(&self, bundle: Arc<Bundle>, block: u32) -> Result<Bytes, String> {
        let pool = self.pool.clone();
        let read = tokio::task::spawn_blocking(move || bundle.read_block(block, &pool));
        match read.await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("read a block of the bundle: the agent is stopping".to_owned()),
        }
    }

    async fn send_whole(&self, job: &Job, strategy: Strategy) -> Performed {
        let Some((uri, number)) = job.uri.clone() else { return unsent(job) };
        let reply = |result| Reply::SentWhole { uri: number, result };
        let Some(bundle) = &job.bundle else { return answered(reply(Err(BlobFault::Bundle))) };
        let put = WholePut {
            target: if strategy == Strategy::PutBlob { WholeTarget::Blob } else { WholeTarget::Plain },
            file: bundle.blocks_file(),
            length: bundle.manifest().bytes,
            patience: job.patience,
        };
        stored(self.blobs.put_whole(uri, put).await, reply)
    }

    async fn inventory(&self, job: &Job) -> Performed {
        let Some((uri, number)) = job.uri.clone() else { return unsent(job) };
        let Some(bundle) = &job.bundle else {
            return answered(Reply::Inventoried { uri: number, result: Err(BlobFault::Bundle) });
        };
        match self.blobs.stored(uri, job.rules.graph.timeout).await {
            Ok(blocks) => {
                let held: std::collections::HashSet<&str> = blocks.iter().map(|block| block.id.as_str()).collect();
                let mut ledger = Ledger::default();
                ledger
                    .extend((0..total_blocks(bundle)).filter(|&block| held.contains(block_id(bundle, block).as_str())));
                answered(Reply::Inventoried { uri: number, result: Ok(ledger) })
            }
            Err(error) => {
                let trouble = Some(error.to_string());
                Performed { trouble, ..answered(Reply::Inventoried { uri: number, result: Err(error.fault) }) }
            }
        }
    }

    async fn put_list(&self, job: &Job) -> Performed {
        let Some((uri, number)) = job.uri.clone() else { return unsent(job) };
        let reply = |result| Reply::ListPut { uri: number, result };
        let Some(bundle) = &job.bundle else { return answered(reply(Err(BlobFault::Bundle))) };
        let ids = (0..total_blocks(bundle)).map(|block| block_id(bundle, block)).collect();
        let put = self.blobs.put_list(uri, ids, job.patience).await;
        stored(put, reply)
    }
}

/// Returns whether a session may still take blocks or be committed, or is being
/// processed: it has not ended badly.
pub fn is_open(session: &Session, rules: &Settings) -> bool {
    !is_in(&rules.processing.failure, session) && session.completion_date_time.is_none()
}

fn sighted(
    job: &Job,
    asked: Result<Answer<Session>, ServiceError>,
    reply: impl FnOnce(Result<Box<Sighting>, Fault>) -> Reply,
) -> Performed {
    match asked {
        Ok(answer) if is_another(job, &answer.value) => {
            // Its upload URI leads to another upload's blocks.
            let trouble = format!("take the service's answer: it is of another session, {}", answer.value.id);
            let nothing = Fault::Transient { retry_after: None };
            Performed { trouble: Some(trouble), ..answered(reply(Err(nothing))) }
        }
        Ok(answer) => {
            let etag = answer.value.etag.clone();
            let sighting = sighting(answer, &job.rules);
            Performed { reply: reply(Ok(Box::new(sighting))), trouble: None, etag }
        }
        Err(error) => refused(error, |fault| reply(Err(fault))),
    }
}

/// Reduces a session to what the machine needs of it.
fn sighting(answer: Answer<Session>, rules: &Settings) -> Sighting {
    let session = answer.value;
    let hosts = &rules.allowed_hosts();
    let jobs = session.remaining_job_count.zip(session.total_job_count);
    let is_committed = is_committed(&session);
    Sighting {
        uri: session.data_upload_uri.as_ref().map(|uri| UploadUri::parse(uri.expose(), hosts)),
        session: session.id,
        file_name: session.file_name,
        upload_agent: Some(session.upload_agent_id).filter(|agent| !agent.is_empty()),
        state: session.state,
        total_blocks: session.total_block_count,
        jobs,
        is_committed,
        is_over: session.completion_date_time.is_some(),
        error: session.error.filter(|error| !error.is_null()).map(|error| error.to_string()),
        asked: answer.asked,
        server_time: answer.server_time,
    }
}

/// Returns whether the service's word for a session is one of these; case does
/// not matter.
pub fn is_in(words: &[String], session: &Session) -> bool {
    let state = session.state.to_lowercase();
    words.iter().any(|word| word.to_lowercase() == state)
}

/// Returns whether the service says that a session's blocks were handed over.
pub fn is_committed(session: &Session) -> bool {
    let processing = session.total_job_count.is_some_and(|jobs| jobs > 0);
    processing || session.processing_completion_date_time.is_some() || session.upload_completion_date_time.is_some()
}

/// Says in a draft what a session of a bundle is of. Some checksums take a
/// reading of the whole bundle, so they are made on another thread.
///
/// # Errors
///
/// When the bundle does not read as its manifest says.
pub async fn describe(draft: &mut SessionDraft, bundle: &Arc<Bundle>, form: Checksum) -> Result<(), String> {
    let manifest = bundle.manifest();
    draft.fields.clone_from(&manifest.fields);
    draft.rows_per_block = Some(manifest.rows_per_block);
    draft.salt = Some(Secret::new(bundle.salt().expose_text().to_owned()));
    let Some(kind) = form.digest() else { return Ok(()) };
    let bundle = Arc::clone(bundle);
    draft.checksum = match tokio::task::spawn_blocking(move || bundle.digest(kind)).await {
        Ok(Ok(digest)) => form.write(&digest),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("make the checksum of the bundle: the agent is stopping".to_owned()),
    };
    Ok(())
}

/// Makes the question whether rows hold some values, hashed as the bundle's
/// cells were; `None` if the bundle has no such column, or a value is not text.
pub fn hashed_query(bundle: &Bundle, column: &str, values: &[&[u8]]) -> Option<LookupQuery> {
    let field = bundle.manifest().columns.iter().find(|field| field.name == column)?;
    let digest = CellDigest::named(&bundle.manifest().digest)?;
    let values = hash_values(field, digest, bundle.salt(), values)?;
    Some(LookupQuery { key: column.to_owned(), values, result_columns: vec![column.to_owned()] })
}

/// Hashes values as the cells of a column are; `None` if one is not UTF-8.
pub fn hash_values(field: &Field, digest: CellDigest, salt: &Salt, values: &[&[u8]]) -> Option<Vec<String>> {
    let normaliser = Normaliser::of(field);
    let hasher = CellHasher::of(digest, salt);
    let mut scratch = Vec::new();
    let hash = |value: &&[u8]| Some(hex(&hasher.hash(normaliser.apply(value, &mut scratch).ok()?)));
    values.iter().map(hash).collect()
}

/// Returns how many blocks a bundle has.
pub fn total_blocks(bundle: &Bundle) -> u32 {
    u32::try_from(bundle.manifest().blocks.len()).unwrap_or(u32::MAX)
}

/// Returns the id of a block: a function of its index, its length and its
/// content, and of one length for all, so that a block sent twice is the same
/// block and a listing of ids is a listing of contents.
///
/// Base64 of 27 bytes: version 1, index and length (big endian, 4 bytes each)
/// and the first 18 bytes of the block's SHA-256.
pub fn block_id(bundle: &Bundle, block: u32) -> String {
    use base64::Engine;
    let Some(entry) = bundle.manifest().blocks.get(block as usize) else { return String::new() };
    let mut id = Vec::with_capacity(27);
    id.push(1);
    id.extend(block.to_be_bytes());
    id.extend(u32::try_from(entry.length).unwrap_or(u32::MAX).to_be_bytes());
    id.extend((0..18).filter_map(|at| u8::from_str_radix(entry.sha256.get(2 * at..2 * at + 2)?, 16).ok()));
    base64::engine::general_purpose::STANDARD.encode(id)
}

/// Returns the name of a block that is a blob of its own: names sort as the
/// blocks do, and carry the start of the content's digest.
fn blob_name(file_name: &str, block: u32, sha256: &str) -> String {
    let digest = sha256.get(..16).unwrap_or(sha256);
    format!("{file_name}/{block:08}-{digest}")
}

/// Returns whether a session is another than was asked for: by its id, by its
/// data store, or, if this agent opened it, by the file name it was given.
fn is_another(job: &Job, session: &Session) -> bool {
    let asked_for = match job.command {
        Command::Fetch | Command::Renew { .. } => job.session.as_deref(),
        Command::Find
        | Command::Create
        | Command::Report(_)
        | Command::Send { .. }
        | Command::SendWhole { .. }
        | Command::Inventory
        | Command::PutList
        | Command::Commit
        | Command::Abort
        | Command::LookUpCanary => None,
    };
    let plan = &job.entry.plan;
    let other_id = !session.id.is_empty() && asked_for.is_some_and(|id| !id.eq_ignore_ascii_case(&session.id));
    let other_file = plan.is_opened_here() && !session.file_name.is_empty() && session.file_name != plan.file_name;
    other_id || other_file || is_of_another_store(plan, session)
}

/// Returns whether a session says that it belongs to another data store.
fn is_of_another_store(plan: &Plan, session: &Session) -> bool {
    !session.data_store_id.is_empty() && !session.data_store_id.eq_ignore_ascii_case(&plan.store)
}

fn key(job: &Job) -> SessionKey {
    SessionKey { store: job.entry.plan.store.clone(), session: job.session.clone().unwrap_or_default() }
}

fn answered(reply: Reply) -> Performed {
    Performed { reply, trouble: None, etag: None }
}

/// A command that cannot leave for want of an upload URI; the machine asks
/// again when there is one.
fn unsent(job: &Job) -> Performed {
    answered(Reply::Held(job.command.clone()))
}

fn refused(error: ServiceError, reply: impl FnOnce(Fault) -> Reply) -> Performed {
    let trouble = Some(error.to_string());
    Performed { reply: reply(error.fault), trouble, etag: None }
}

fn done(asked: Result<Answer<()>, ServiceError>, reply: impl FnOnce(Result<(), Fault>) -> Reply) -> Performed {
    match asked {
        Ok(_) => answered(reply(Ok(()))),
        Err(error) => refused(error, |fault| reply(Err(fault))),
    }
}

fn stored(put: Result<(), BlobError>, reply: impl FnOnce(Result<(), BlobFault>) -> Reply) -> Performed {
    match put {
        Ok(()) => answered(reply(Ok(()))),
        Err(error) => {
            let trouble = Some(error.to_string());
            Performed { trouble, ..answered(reply(Err(error.fault))) }
        }
    }
}
