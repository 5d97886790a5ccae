//! `check --online`: does it work from here? Everything is tried at once, each
//! part for itself, and whatever has not answered in time counts as failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{Access, access};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::Finding;
use crate::adapters::http::resolve::reachable;
use crate::adapters::state::sync_latency;
use crate::agent::exit::{Exit, Trouble, service_trouble};
use crate::agent::settings::Settings;
use crate::agent::tables::find_store;
use crate::agent::{outside, sign_in};
use crate::ground::moment::Moment;
use crate::ground::units::Span;
use crate::ports::clock::Clock;
use crate::ports::service::SessionService;
use crate::ports::tokens::{TokenProvider, Why};

/// How long everything may take.
const WITHIN: Duration = Duration::from_secs(5);

/// A clock further off than this breaks signatures sooner or later.
const SKEW: TimeDelta = TimeDelta::minutes(2);

/// A sync slower than this holds everything up that must be durable.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Looks at everything that takes somebody else, or the disk.
pub(super) async fn look(settings: &Arc<Settings>, clock: &Arc<dyn Clock>) -> Vec<Finding> {
    let tokens = match sign_in::tokens(settings, clock) {
        Ok(tokens) => tokens,
        Err(trouble) => return vec![Finding::failed("signing in", trouble)],
    };
    let service = match outside::service(settings, &tokens, clock) {
        Ok(service) => service,
        Err(trouble) => return vec![Finding::failed("the service", trouble)],
    };
    let limit = Limit { clock: Arc::clone(clock), end: clock.now().moment + WITHIN };
    let (told, seen) = watch::channel(BTreeSet::new());
    let asked = async {
        let signing = limit.look("signing in", sign(settings, tokens.as_ref())).await;
        let stores = match signing.result.is_ok() {
            true => stores(settings, &service, &limit, &told).await,
            false => Vec::new(),
        };
        drop(told);
        [vec![signing], stores].concat()
    };
    let (asked, hosts, disk) = tokio::join!(asked, hosts(settings, &limit, seen), disk(settings, &limit));
    [asked, hosts, vec![disk]].concat()
}

/// The moment by which everything must have answered.
#[derive(Clone)]
struct Limit {
    clock: Arc<dyn Clock>,
    end: Moment,
}

impl Limit {
    /// Bounds a look.
    async fn look(&self, what: &str, looked: impl Future<Output = Result<Option<String>, Trouble>>) -> Finding {
        let result = tokio::select! {
            biased;
            result = looked => result,
            () = self.clock.sleep_until(self.end) => {
                let message = format!("no answer within {}: is the way to it open?", Span(WITHIN));
                Err(Trouble::new(Exit::Unreachable, message))
            }
        };
        Finding { what: what.to_owned(), result }
    }
}

async fn sign(settings: &Settings, tokens: &dyn TokenProvider) -> Result<Option<String>, Trouble> {
    match tokens.token().await {
        Ok(_) => Ok(Some(format!("a token for {}", sign_in::scope(settings)))),
        Err(none) => {
            let exit = match none.why {
                Why::Unreachable { .. } => Exit::Unreachable,
                Why::Refused => Exit::NotPermitted,
            };
            Err(Trouble::new(exit, none.message))
        }
    }
}

/// Asks for the data stores: whether there are any to be seen, and whether each
/// that a table names can be read. Tells the hosts that open sessions send to.
async fn stores(
    settings: &Settings,
    service: &Arc<dyn SessionService>,
    limit: &Limit,
    told: &watch::Sender<BTreeSet<String>>,
) -> Vec<Finding> {
    let mut date = None;
    let listed = limit.look("the service", async {
        let answer = service.stores().await.map_err(|error| service_trouble(&error))?;
        date = answer.server_time;
        Ok(Some(format!("{} data stores at {}", answer.value.len(), settings.graph.root())))
    });
    let mut findings = vec![listed.await];
    if findings[0].result.is_err() {
        return findings;
    }
    findings.push(Finding { what: "this host's clock".to_owned(), result: skew(date, limit.clock.as_ref()) });
    let names: BTreeSet<&String> = settings.table.iter().map(|table| &table.data_store).collect();
    let mut looks = JoinSet::new();
    for name in names {
        let (name, service, limit, told) = (name.clone(), Arc::clone(service), limit.clone(), told.clone());
        looks.spawn(async move {
            limit.look(&format!("data store {name}"), read_store(service.as_ref(), &name, &told)).await
        });
    }
    let mut read = looks.join_all().await;
    read.sort_by(|one, other| one.what.cmp(&other.what));
    findings.extend(read);
    findings
}

async fn read_store(
    service: &dyn SessionService,
    name: &str,
    told: &watch::Sender<BTreeSet<String>>,
) -> Result<Option<String>, Trouble> {
    let store = find_store(service, name).await?;
    let sessions = service.sessions(&store.id).await.map_err(|error| service_trouble(&error))?.value;
    let uris = sessions.iter().filter_map(|session| session.data_upload_uri.as_ref());
    let hosts = uris.filter_map(|uri| Some(Url::parse(uri.expose()).ok()?.host_str()?.to_owned()));
    told.send_modify(|seen| seen.extend(hosts));
    let updated = store.data_last_updated_date_time;
    let updated = updated.map_or("never".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%SZ").to_string());
    Ok(Some(format!("readable, last updated {updated}")))
}

fn skew(date: Option<DateTime<Utc>>, clock: &dyn Clock) -> Result<Option<String>, Trouble> {
    let refused = |what: String| {
        let message =
            format!("{what}: mend this host's time synchronisation; signatures and tokens are judged by time");
        Err(Trouble::new(Exit::Failed, message))
    };
    let Some(date) = date else { return refused("the service's date is missing, or more than a day away".to_owned()) };
    let ahead = clock.now().wall.signed_duration_since(date);
    let way = if ahead < TimeDelta::zero() { "behind" } else { "ahead of" };
    let off = format!("{} s {way} the service's", ahead.abs().num_seconds());
    if ahead.abs() > SKEW { refused(format!("it is {off}")) } else { Ok(Some(off)) }
}

/// Looks up every host that blocks may go to, as far as they are known by name,
/// the way blocks would go there.
async fn hosts(settings: &Settings, limit: &Limit, mut seen: watch::Receiver<BTreeSet<String>>) -> Vec<Finding> {
    let patterns = settings.allowed_hosts();
    let (stars, names): (Vec<&String>, Vec<&String>) = patterns.iter().partition(|pattern| pattern.starts_with("*."));
    let http = match outside::http(settings) {
        Ok(http) => http,
        Err(trouble) => return vec![Finding::failed("the upload hosts", trouble)],
    };
    let mut known: BTreeSet<String> = names.into_iter().map(|name| host_of(name)).collect();
    if !stars.is_empty() {
        // The sender goes when the service was asked, with or without an answer.
        while seen.changed().await.is_ok() {}
        known.extend(seen.borrow().iter().cloned());
    }
    let reach = outside::reach(settings);
    let mut findings = Vec::new();
    for host in &known {
        let through = Url::parse(&format!("https://{host}/")).ok();
        let proxy = http.proxy.as_ref().zip(through).and_then(|(proxies, url)| proxies.of(&url));
        let lookup = async {
            if let Some(proxy) = proxy {
                return Ok(Some(format!("looked up by the proxy {}, not here", proxy.place())));
            }
            let found = reachable(http.lookup.as_ref(), host, &reach).await;
            let found = found.map_err(|astray| Trouble::new(Exit::Unreachable, astray.to_string()))?;
            Ok(Some(format!("{found} addresses")))
        };
        findings.push(limit.look(&format!("upload host {host}"), lookup).await);
    }
    if known.is_empty() {
        let shown: Vec<&str> = stars.iter().map(|pattern| pattern.as_str()).collect();
        let note = format!("{}: names are known once a session is open", shown.join(", "));
        findings.push(Finding { what: "the upload hosts".to_owned(), result: Ok(Some(note)) });
    }
    findings
}

/// Returns a host of `upload.allowed_hosts` as a name server knows it.
fn host_of(pattern: &str) -> String {
    let host = match pattern.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) | None => pattern,
    };
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Tries the state directory, or the nearest folder above one that is yet to be made.
async fn disk(settings: &Settings, limit: &Limit) -> Finding {
    let what = format!("writing to {}", settings.state_dir.display());
    let there = settings.state_dir.is_dir();
    let directory: PathBuf = settings.state_dir.clone();
    let clock = Arc::clone(&limit.clock);
    let tried = async {
        if !there {
            let above = directory.ancestors().skip(1).find(|above| above.is_dir()).unwrap_or(Path::new("/"));
            let shown = above.display();
            return match access(above, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => Ok(Some(format!("it is made at the first start, in {shown}"))),
                Err(error) => {
                    let message =
                        format!("make it in {shown}: {error}; make it for the agent's user, or set state_dir");
                    Err(Trouble::new(Exit::LocalIo, message))
                }
            };
        }
        let tried = tokio::task::spawn_blocking(move || sync_latency(&directory, clock.as_ref())).await;
        let failed = |why: String| {
            let message = format!("{why}; the agent must be able to write there, and its volume must have room");
            Trouble::new(Exit::LocalIo, message)
        };
        let span = tried.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        let millis = span.as_secs_f64() * 1_000.0;
        match span > SLOW_SYNC {
            true => Err(failed(format!("a sync takes {millis:.0} ms, far too long"))),
            false => Ok(Some(format!("a sync takes {millis:.1} ms"))),
        }
    };
    limit.look(&what, tried).await
}
