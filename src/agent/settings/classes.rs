//! When a changed key counts: the one list, which `config/agent.toml` repeats
//! behind each key (`tests/suite/config/example.rs` compares the two).

use std::fmt;

use super::{Settings, TableSettings};

/// When a key that was changed counts after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// At once: whatever is decided next is decided by it.
    Live,
    /// For uploads that begin after the reload; one that has begun keeps the
    /// rules it began with.
    NextUpload,
    /// Only after a restart: a reload that changes it is refused as a whole.
    Restart,
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Live => "live",
            Self::NextUpload => "next upload",
            Self::Restart => "restart",
        })
    }
}

/// One key of a section of the configuration.
struct Key<T> {
    name: &'static str,
    class: Class,
    differs: fn(&T, &T) -> bool,
}

/// Makes the keys of a section from the places of their values, which are their
/// names: one that does not exist does not compile.
macro_rules! keys {
    ($($class:ident { $($first:ident $(. $rest:ident)*),* $(,)? })*) => {
        &[$($(Key {
            name: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            class: Class::$class,
            differs: |old, new| old.$first $(. $rest)* != new.$first $(. $rest)*,
        },)*)*]
    };
}

/// The keys of the configuration but those of its tables.
const KEYS: &[Key<Settings>] = keys! {
    Live {
        // Asked for when this host is registered, and never again.
        agent.description,
        upload.concurrency,
        upload.block_timeout,
        upload.give_up_after,
        bundles.retain_failed,
        journal.retain,
        quota.sessions_per_day,
        quota.reserved,
        quota.backoff,
        http.session_metrics,
        log.level,
    }
    NextUpload {
        lease.session_ttl,
        lease.renew_window,
        lease.guard,
        upload.strategy,
        upload.on_session_lost,
        upload.block_size,
        upload.resume_session,
        upload.verify_before_commit,
        bundles.dir,
        bundles.max_bytes,
        bundles.min_free,
        bundles.identity_file,
        bundles.trusted_keys_file,
        progress.report,
        progress.min_interval,
        progress.uploading_state,
        progress.uploaded_state,
        processing.poll_min,
        processing.poll_max,
        processing.deadline,
        processing.success,
        processing.failure,
    }
    Restart {
        state_dir,
        // The clients are made of these, and hold connections and tokens.
        graph.cloud,
        graph.base_url,
        graph.timeout,
        graph.retry_after_max,
        graph.ca_file,
        graph.proxy,
        graph.proxy_credentials_file,
        auth.kind,
        auth.tenant_id,
        auth.client_id,
        auth.authority,
        auth.scope,
        auth.secret_file,
        auth.certificate_file,
        auth.certificate_password_file,
        auth.token_file,
        auth.arc_key_dir,
        contract.action_form,
        contract.send_datastore_id,
        contract.send_odata_type,
        contract.create_properties,
        contract.checksum,
        contract.bodiless_content_type,
        contract.bodiless_body,
        contract.if_match,
        contract.store_lookup,
        contract.abort,
        contract.ms_version,
        contract.integrity,
        upload.allowed_hosts,
        upload.allow_private_addresses,
        // The buffers of blocks in flight are bounded by it.
        upload.memory,
        // Whoever speaks to the agent, or scrapes it, finds it there.
        control.socket,
        http.listen,
        log.format,
        log.journal_socket,
    }
};

/// The keys of a table. A table that runs has its bundle, so nothing of it
/// needs a restart.
const TABLE_KEYS: &[Key<TableSettings>] = keys! {
    Live {
        name,
        when,
        timezone,
        catch_up,
        jitter,
        settle,
        done_marker,
    }
    NextUpload {
        data_store,
        path,
        schema,
        allow_drift,
        min_rows_percent,
        max_rows_percent,
        max_blank_percent,
        allow_empty,
        skip_unchanged,
        separator,
        quote,
        encoding,
        digest,
        rows_per_block,
        allowed_bad_lines_percent,
        salt_file,
    }
};

/// The keys of a table's canary, which may be missing as a whole.
const CANARY_KEYS: &[Key<TableSettings>] = &[
    Key {
        name: "canary.column",
        class: Class::NextUpload,
        differs: |old, new| {
            old.canary.as_ref().map(|canary| &canary.column) != new.canary.as_ref().map(|canary| &canary.column)
        },
    },
    Key {
        name: "canary.value",
        class: Class::NextUpload,
        differs: |old, new| {
            old.canary.as_ref().map(|canary| &canary.value) != new.canary.as_ref().map(|canary| &canary.value)
        },
    },
];

/// Returns every key, dotted, and when it counts.
pub fn classes() -> impl Iterator<Item = (String, Class)> {
    let of_tables = TABLE_KEYS.iter().chain(CANARY_KEYS).map(|key| (format!("table.{}", key.name), key.class));
    KEYS.iter().map(|key| (key.name.to_owned(), key.class)).chain(of_tables)
}

/// What differs between two configurations. Names only, never a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Every key that differs, a table's as `table.NAME.key`; a table that came
    /// or went as `table.NAME added` or `table.NAME removed`.
    pub names: Vec<String>,
    /// Those of them that need a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Compares two configurations.
    pub fn between(old: &Settings, new: &Settings) -> Self {
        let mut changes = Self::default();
        for key in KEYS.iter().filter(|key| (key.differs)(old, new)) {
            changes.names.push(key.name.to_owned());
            if key.class == Class::Restart {
                changes.restart.push(key.name);
            }
        }
        for table in &new.table {
            match old.find_table(&table.name) {
                None => changes.names.push(format!("table.{} added", table.name)),
                Some(before) => {
                    let differing = TABLE_KEYS.iter().chain(CANARY_KEYS).filter(|key| (key.differs)(before, table));
                    changes.names.extend(differing.map(|key| format!("table.{}.{}", table.name, key.name)));
                }
            }
        }
        let gone = old.table.iter().filter(|table| new.find_table(&table.name).is_none());
        changes.names.extend(gone.map(|table| format!("table.{} removed", table.name)));
        changes
    }
}
