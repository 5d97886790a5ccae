//! What a configured table comes to: its data store, its schema, and the order
//! to hash it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::exit::{Exit, Trouble, hash_trouble, service_trouble};
use super::outside::credential;
use super::settings::TableSettings;
use crate::adapters::bundle::{self, HashError, HashOrder, Limits, SaltSource, SourceIdentity};
use crate::ports::contract::DataStore;
use crate::ports::service::SessionService;
use crate::table::reader::Separator;
use crate::table::schema::{Field, Schema};
use crate::upload::fault::Fault;

/// The largest schema file that is read.
const SCHEMA_LIMIT: u64 = 1 << 20;

/// Makes the order to hash a configured table; `block_size` is
/// `upload.block_size`.
///
/// # Errors
///
/// Says which setting is wrong.
pub fn hash_order(table: &TableSettings, block_size: u64, schema: Schema, output: &Path) -> Result<HashOrder, Trouble> {
    Ok(HashOrder {
        table: table.name.clone(),
        source: table.path.clone(),
        schema,
        separator: separator(&table.separator)?,
        quotes: table.quote,
        encoding: table.encoding,
        digest: table.digest,
        rows_per_block: Some(table.rows_per_block).filter(|&rows| rows > 0),
        block_size,
        allowed_bad_lines_percent: table.allowed_bad_lines_percent,
        allow_empty: table.allow_empty,
        allow_drift: table.allow_drift,
        salt: salt_source(table),
        content_key: None,
        output: output.to_owned(),
        limits: Limits::default(),
        threads: 0,
    })
}

/// Returns where a table's salt comes from.
pub fn salt_source(table: &TableSettings) -> SaltSource {
    match table.salt_file.as_os_str().is_empty() {
        true => SaltSource::Fresh,
        false => SaltSource::File(credential(&table.salt_file)),
    }
}

/// Reads the setting `separator`.
///
/// # Errors
///
/// Says what may be written.
pub fn separator(word: &str) -> Result<Option<Separator>, Trouble> {
    if word == "auto" {
        return Ok(None);
    }
    let read = word.parse::<Separator>().map(Some);
    read.map_err(|what| Trouble::new(Exit::BadConfiguration, format!("read the separator: {what}")))
}

/// Reads an EdmSchema file: an ordinary one, of 1 MiB at most. Links are
/// followed: what a container mounts is made of them.
///
/// # Errors
///
/// Says what about it is wrong.
pub fn read_schema(path: &Path) -> Result<Schema, Trouble> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Trouble::new(Exit::BadConfiguration, format!("read the schema {shown}: {error}; check the path and its mode"))
    };
    let refused = |what: String| {
        Trouble::new(Exit::BadConfiguration, format!("read the schema {shown}: {what}; name the file of one"))
    };
    // Not to wait for the writer of a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(refused("it is no ordinary file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(SCHEMA_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SCHEMA_LIMIT {
        return Err(refused(format!("it has more than {SCHEMA_LIMIT} bytes, which no schema needs")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8".to_owned()))?;
    Schema::parse_xml(&text).map_err(|error| Trouble::new(Exit::BadData, format!("read the schema {shown}: {error}")))
}

/// Makes a schema of the columns of a data store.
///
/// # Errors
///
/// When the store shows no columns, or more than may be.
pub fn schema_of(store: &DataStore) -> Result<Schema, Trouble> {
    let fields = store.columns.iter().map(|column| Field {
        name: column.name.clone(),
        searchable: column.is_searchable,
        case_insensitive: column.is_case_insensitive,
        ignored_delimiters: column.ignored_delimiters.iter().flat_map(|text| text.chars()).collect(),
    });
    Schema::from_fields(store.display_name.clone(), fields.collect()).map_err(|error| {
        let name = &store.display_name;
        Trouble::new(Exit::BadConfiguration, format!("take the schema of data store {name} from the service: {error}"))
    })
}

/// Refuses a schema that is another than the data store's, column by column. A
/// store that shows no columns has nothing to disagree with.
///
/// # Errors
///
/// Says what differs, and what to do.
pub fn refuse_drift(schema: &Schema, store: &DataStore, of: &str) -> Result<(), Trouble> {
    if store.columns.is_empty() {
        return Ok(());
    }
    let drift = schema.drift(&schema_of(store)?);
    if drift.is_empty() {
        return Ok(());
    }
    let name = &store.display_name;
    let message = format!(
        "compare the schema {of} with data store {name}: {}; save the store's with `edm-agent stores schema {name}`, \
         or set allow_drift = true for the table, or give --allow-drift",
        drift.join("; ")
    );
    Err(Trouble::new(Exit::BadConfiguration, message))
}

/// Finds a data store by id or display name.
///
/// # Errors
///
/// Says what to do, and with which code a command should exit.
pub async fn find_store(service: &dyn SessionService, name: &str) -> Result<DataStore, Trouble> {
    let named = service.stores_named(name).await.map_err(|error| service_trouble(&error))?.value;
    match named.as_slice() {
        [store] => return Ok(store.clone()),
        [] => (),
        several => {
            let ids: Vec<&str> = several.iter().map(|store| store.id.as_str()).collect();
            let message =
                format!("find data store {name}: {} have this name, name one by id: {}", ids.len(), ids.join(", "));
            return Err(Trouble::new(Exit::BadConfiguration, message));
        }
    }
    match service.store(name).await {
        Ok(answer) => Ok(answer.value),
        Err(error) if matches!(error.fault, Fault::Gone | Fault::Refused { .. }) => {
            let message = format!(
                "find data store {name}: the service has none of this id or display name; \
                 `edm-agent stores list` shows them, and a new schema takes up to an hour to appear"
            );
            Err(Trouble::new(Exit::BadConfiguration, message))
        }
        Err(error) => Err(service_trouble(&error)),
    }
}

/// Refuses a table whose bundle would not fit, before a byte is written, and
/// has the same limits hold while it is: what a packed table comes to is only
/// guessed at before.
///
/// # Errors
///
/// With the numbers.
pub fn make_room(order: &mut HashOrder, min_free: u64, max_bytes: Option<u64>) -> Result<(), Trouble> {
    limit(order, min_free, max_bytes)?;
    let failed = |error: HashError| hash_trouble(&order.table, &error);
    let needed = bundle::estimate(order).map_err(failed)?;
    if let Some(most) = max_bytes.filter(|&most| needed > most) {
        let message = format!(
            "table {}: its bundle would take about {}, and bundles.max_bytes is {}",
            order.table,
            crate::ground::units::Size(needed),
            crate::ground::units::Size(most)
        );
        return Err(Trouble::new(Exit::LocalIo, message));
    }
    bundle::room_for(folder(order), needed, min_free).map_err(failed)
}

/// Refuses a table that is to be sealed, as [`make_room`] does: its cells wait
/// until they can be, so for a while the disk holds them twice.
///
/// # Errors
///
/// With the numbers.
pub fn make_room_twice(order: &mut HashOrder, min_free: u64, max_bytes: Option<u64>) -> Result<(), Trouble> {
    make_room(order, min_free, max_bytes)?;
    let needed = bundle::estimate(order).and_then(|bytes| bundle::room_for(folder(order), bytes * 2, min_free));
    needed.map_err(|error| hash_trouble(&order.table, &error))
}

/// Has the limits of bundles hold while one is written, where nothing tells its
/// size before; makes the folder it will be in.
///
/// # Errors
///
/// Says that the folder cannot be made.
pub fn limit(order: &mut HashOrder, min_free: u64, max_bytes: Option<u64>) -> Result<(), Trouble> {
    order.limits.bytes = max_bytes;
    order.limits.keep_free = min_free;
    let dir = folder(order);
    std::fs::create_dir_all(dir)
        .map_err(|error| Trouble::new(Exit::LocalIo, format!("make the folder {} for bundles: {error}", dir.display())))
}

fn folder(order: &HashOrder) -> &Path {
    order.output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns what identifies the present state of a source file.
///
/// # Errors
///
/// Says why it cannot be looked at.
pub fn identify(table: &TableSettings) -> Result<SourceIdentity, Trouble> {
    bundle::identify(&table.path).map_err(|error| {
        let message = format!("table {}: look at {}: {error}", table.name, table.path.display());
        Trouble::new(Exit::BadData, message)
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn a_schema_is_an_ordinary_file_of_bounded_length_whose_name_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let refused = |path: &Path| read_schema(path).unwrap_err().to_string();
        rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for special in [&path("fifo"), Path::new("/dev/zero"), dir.path()] {
            assert!(refused(special).contains("no ordinary file"), "{}", refused(special));
        }

        let xml = Schema::from_fields("Store", vec![Field::named("A")]).unwrap().to_xml();
        let padded = |length: usize| xml.clone() + &" ".repeat(length - xml.len());
        std::fs::write(path("longest"), padded(1 << 20)).unwrap();
        std::os::unix::fs::symlink(path("longest"), path("link")).unwrap();
        read_schema(&path("link")).unwrap();
        std::fs::write(path("longer"), padded((1 << 20) + 1)).unwrap();
        assert!(refused(&path("longer")).contains("more than 1048576 bytes"));
    }
}
