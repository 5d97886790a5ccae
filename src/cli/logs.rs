//! Logs on stderr.

use crate::agent::settings::LogSettings;

/// Starts logging as the settings say.
pub fn init(settings: &LogSettings) {
    let filter = tracing_subscriber::EnvFilter::new(&settings.level);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
