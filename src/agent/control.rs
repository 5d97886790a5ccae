//! The local API: HTTP and JSON on a unix socket.
//!
//! Scripts, the other uploader of a tracked session and this program's own
//! commands speak it. Who may connect is decided by the socket's owner, group
//! and mode.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use super::ask::{Ask, AskRefused, Uploaded};
use super::exit::{Exit, Trouble};
use super::gates::Wishes;
use super::intake::{Cargo, Intake};
use super::notice::{Notice, Notices};
use super::reload::{Applied, ReloadRefused, Reloads};
use super::routes::{self, Found, Route};
use super::serve::{Body, Refusal, allowing, answer, answer_secret, read_json, refuse};
use super::status::UploadView;
use crate::adapters::http::secret::SecretJson;
use crate::ports::tokens::TokenProvider;
use crate::upload::ledger::Ledger;

/// Who may speak on the socket: its owner and its group.
const MODE: u32 = 0o660;
/// Ranges of blocks in one report of progress.
const RANGES: usize = 4_096;
/// Lines of the event stream that wait for a slow reader.
const LINES: usize = 64;
/// Event streams at a time: each keeps one of the connections there are.
const STREAMS: usize = 16;

/// What the local API works with.
#[derive(Clone)]
pub struct Control {
    /// Begins uploads, and asks the dispatcher.
    pub intake: Intake,
    /// Tells what happens.
    pub notices: Notices,
    /// Hands out tokens.
    pub tokens: Arc<dyn TokenProvider>,
    /// Reads the configuration again.
    pub reloads: Reloads,
    /// Where the agent keeps its state, so that a command can tell whose
    /// agent answers.
    pub state_dir: PathBuf,
}

/// Takes the socket: a left-over one of a dead agent is replaced, a living
/// one is not.
///
/// # Errors
///
/// When the folder cannot be made or the socket cannot be bound.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            // Only a refusal says that nobody is there: one too busy to answer lives.
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there")),
                Err(error) => return Err(io::Error::new(io::ErrorKind::AddrInUse, error)),
            }
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    // It is nobody else's for the instant until its mode is set, and never more
    // than that: the program's umask leaves others nothing (`cli::hardening`).
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

impl Control {
    /// Answers one request.
    pub async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let (route, id) = match routes::find(request.method(), &path) {
            Found::Route(route, id) => (route, id),
            Found::OtherMethods(allowed) => {
                let refused =
                    refuse(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here: docs/openapi.yaml says what can");
                return allowing(refused.answer(), &allowed);
            }
            Found::Nothing => {
                return refuse(StatusCode::NOT_FOUND, "nothing is here: docs/openapi.yaml says what is").answer();
            }
        };
        let result = match route {
            Route::Status => self.status().await,
            Route::Sessions => self.list(|view| view.session.is_some()).await,
            Route::Track => self.track(request).await,
            Route::View => self.view(id).await,
            Route::UploadUri => self.upload_uri(id).await,
            Route::Progress => self.progress(id, request).await,
            Route::Renew => self.wish(id, Ask::Renew).await,
            Route::Commit => self.wish(id, Ask::Commit).await,
            Route::Cancel => self.wish(id, Ask::Cancel).await,
            Route::Uploads => self.list(|_| true).await,
            Route::Upload => self.upload(request).await,
            Route::Release => self.wish(id, Ask::Release).await,
            Route::Events => self.events(),
            Route::Reload => self.reload().await,
        };
        result.unwrap_or_else(Refusal::answer)
    }

    async fn status(&self) -> Result<Response<Body>, Refusal> {
        let mut picture = self.intake.asker.ask(Ask::Picture).await.map_err(|refused| refused_answer(&refused))?;
        picture.sign_in = self.tokens.sign_in().trouble;
        picture.configuration = Some(self.reloads.view());
        let mut value = serde_json::to_value(picture).unwrap_or_default();
        let hashing = self.intake.board.intakes();
        if let Some(object) = value.as_object_mut() {
            object.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
            object.insert("running".to_owned(), json!(true));
            object.insert("pid".to_owned(), json!(std::process::id()));
            object.insert("state_dir".to_owned(), json!(self.state_dir));
            object.insert("tables".to_owned(), json!(self.intake.board.views()));
            object.insert("hashing".to_owned(), json!(hashing));
        }
        Ok(answer(StatusCode::OK, &value))
    }

    async fn list(&self, wanted: impl Fn(&UploadView) -> bool) -> Result<Response<Body>, Refusal> {
        let picture = self.intake.asker.ask(Ask::Picture).await.map_err(|refused| refused_answer(&refused))?;
        let all = picture.uploads.into_iter().chain(picture.closed);
        let views: Vec<UploadView> = all.filter(|view| wanted(view)).collect();
        Ok(answer(StatusCode::OK, &json!({ "value": views })))
    }

    async fn view(&self, id: &str) -> Result<Response<Body>, Refusal> {
        if let Some(view) = self.intake.board.intake(id) {
            return Ok(shown(StatusCode::OK, &view));
        }
        let asked = self.intake.asker.ask(|reply| Ask::View(id.to_owned(), reply)).await;
        asked.and_then(|view| view).map(|view| shown(StatusCode::OK, &view)).map_err(|refused| refused_answer(&refused))
    }

    async fn wish<F>(&self, id: &str, wish: F) -> Result<Response<Body>, Refusal>
    where
        F: FnOnce(String, super::ask::Reply<Result<UploadView, AskRefused>>) -> Ask,
    {
        let asked = self.intake.asker.ask(|reply| wish(id.to_owned(), reply)).await;
        let view = asked.and_then(|view| view).map_err(|refused| refused_answer(&refused))?;
        Ok(shown(StatusCode::ACCEPTED, &view))
    }

    async fn track(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let body = read_json(request).await?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let total = body.get("total_blocks").and_then(Value::as_u64).and_then(|total| u32::try_from(total).ok());
        let (Some(store), Some(total)) = (text("data_store"), total) else {
            let message = "track a session: the body is {\"data_store\", \"session_id\", \"total_blocks\"}; \
                           without session_id one is opened";
            return Err(refuse(StatusCode::BAD_REQUEST, message));
        };
        let tracked = self.intake.track(&store, text("session_id"), total).await;
        tracked.map(|view| shown(StatusCode::CREATED, &view)).map_err(|trouble| trouble_answer(&trouble))
    }

    async fn upload(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let body = read_json(request).await?;
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let cargo = match (text("table"), text("bundle")) {
            (Some(table), None) => Cargo::Table(table.to_owned()),
            (None, Some(bundle)) => Cargo::Bundle(PathBuf::from(bundle)),
            _ => {
                let message = "begin an upload: the body is {\"table\": NAME} or {\"bundle\": PATH}, and may say \
                               \"force\", \"accept\" or \"allow_drift\": true";
                return Err(refuse(StatusCode::BAD_REQUEST, message));
            }
        };
        let is_wished = |key: &str| match body.get(key) {
            None => Ok(false),
            Some(Value::Bool(wished)) => Ok(*wished),
            Some(_) => {
                let message = format!("begin an upload: \"{key}\" is true or false");
                Err(refuse(StatusCode::BAD_REQUEST, &message))
            }
        };
        let wishes =
            Wishes { force: is_wished("force")?, accept: is_wished("accept")?, allow_drift: is_wished("allow_drift")? };
        let begun = self.intake.start(cargo, wishes).await;
        begun.map(|view| shown(StatusCode::ACCEPTED, &view)).map_err(|trouble| trouble_answer(&trouble))
    }

    async fn upload_uri(&self, id: &str) -> Result<Response<Body>, Refusal> {
        let asked = self.intake.asker.ask(|reply| Ask::UploadUri(id.to_owned(), reply)).await;
        let view = asked.and_then(|view| view).map_err(|refused| refused_answer(&refused))?;
        let expires = view.expires.map(|date| date.to_rfc3339());
        let secret = SecretJson::new(json!({ "upload_uri": view.uri.expose(), "expires": expires }));
        Ok(answer_secret(StatusCode::OK, &secret))
    }

    async fn progress(&self, id: &str, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let body = read_json(request).await?;
        let (total, uploaded) = read_progress(&body)?;
        let asked = self.intake.asker.ask(|reply| Ask::Progress(id.to_owned(), total, uploaded, reply)).await;
        let view = asked.and_then(|view| view).map_err(|refused| refused_answer(&refused))?;
        Ok(shown(StatusCode::OK, &view))
    }

    /// Reads the configuration again, and answers once it is in force or refused.
    async fn reload(&self) -> Result<Response<Body>, Refusal> {
        match self.reloads.reload().await {
            Ok(Applied { generation, changed }) => {
                Ok(answer(StatusCode::OK, &json!({ "generation": generation, "changed": changed })))
            }
            Err(ReloadRefused::Stopping) => Err(refused_answer(&AskRefused::Stopping)),
            Err(ReloadRefused::Refused { trouble, generation }) => {
                Err(trouble_answer(&trouble).with("generation", json!(generation)))
            }
        }
    }

    /// Streams what happens from now on, one JSON object a line.
    fn events(&self) -> Result<Response<Body>, Refusal> {
        if self.notices.listeners() >= STREAMS {
            let message = "follow the events: as many follow them as may already; end one";
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        let mut notices = self.notices.listen();
        let (lines, stream) = mpsc::channel::<Bytes>(LINES);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let line = match notices.recv().await {
                    Ok(notice) => line(&notice),
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        format!("{{\"event\":\"lagged\",\"lost\":{lost}}}\n")
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if lines.send(Bytes::from(line)).await.is_err() {
                    return;
                }
            }
        });
        let lines = Lines { stream, _task: task }.boxed_unsync();
        let response = Response::builder().header("content-type", "application/x-ndjson").body(lines);
        Ok(response.expect("the parts are valid by construction"))
    }
}

fn line(notice: &Arc<Notice>) -> String {
    let mut line = serde_json::to_string(notice.as_ref()).unwrap_or_default();
    line.push('\n');
    line
}

/// Reads a report of progress of another uploader.
fn read_progress(body: &Value) -> Result<(Option<u32>, Uploaded), Refusal> {
    let refused = || {
        let message = "report progress: the body is {\"total_blocks\": N, \"uploaded_blocks\": n} \
                       or {\"uploaded\": [[first, last], …]}";
        refuse(StatusCode::BAD_REQUEST, message)
    };
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let total = body.get("total_blocks").map(|total| number(total).ok_or_else(refused)).transpose()?;
    if let Some(count) = body.get("uploaded_blocks") {
        return Ok((total, Uploaded::Count(number(count).ok_or_else(refused)?)));
    }
    let ranges = body.get("uploaded").and_then(Value::as_array).filter(|ranges| ranges.len() <= RANGES);
    let mut blocks = Ledger::default();
    for range in ranges.ok_or_else(refused)? {
        let ends = range.as_array().map(Vec::as_slice).unwrap_or_default();
        match ends.iter().map(number).collect::<Option<Vec<u32>>>().as_deref() {
            Some(&[first, last]) if first <= last => blocks.add_range(first, last),
            _ => return Err(refused()),
        }
    }
    Ok((total, Uploaded::Blocks(blocks)))
}

/// The lines of an event stream as the frames of a body. With the body goes
/// the task that writes it.
struct Lines {
    stream: mpsc::Receiver<Bytes>,
    _task: JoinSet<()>,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.stream.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

fn shown(status: StatusCode, view: &UploadView) -> Response<Body> {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("upload_id".to_owned(), json!(view.upload));
    }
    answer(status, &value)
}

fn refused_answer(refused: &AskRefused) -> Refusal {
    let status = match refused {
        AskRefused::Unknown(_) => StatusCode::NOT_FOUND,
        AskRefused::Conflict(_) => StatusCode::CONFLICT,
        AskRefused::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    refuse(status, &refused.to_string())
}

fn trouble_answer(trouble: &Trouble) -> Refusal {
    let status = match trouble.exit {
        Exit::Usage | Exit::BadConfiguration | Exit::BadData => StatusCode::UNPROCESSABLE_ENTITY,
        Exit::TryLater => StatusCode::CONFLICT,
        Exit::NotPermitted => StatusCode::FORBIDDEN,
        Exit::Unreachable => StatusCode::BAD_GATEWAY,
        Exit::Done | Exit::Failed | Exit::LocalIo => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, &trouble.message).with_exit(trouble.exit as u8)
}
