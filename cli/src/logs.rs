//! Logs: what the node's parts say through `tracing`, to stderr.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Without `--log` and `RUST_LOG`. What came of mapping ports has a line of its own.
const DEFAULT: &str = "warn,tidewire_adapter::portmap=error";

/// Whether a filter can be used.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| {
        format!("expected error, warn, info, debug or trace, or a filter as in RUST_LOG; {filter:?}: {error}")
    })
}

/// Logs from here on: by the option's filter, else by `RUST_LOG`. Unusable parts of the latter are passed over.
pub(crate) fn start(filter: Option<&str>) {
    let filter = match filter {
        Some(filter) => EnvFilter::new(filter),
        None => match std::env::var("RUST_LOG") {
            Ok(set) if !set.is_empty() => EnvFilter::new(set),
            _ => EnvFilter::new(DEFAULT),
        },
    };
    let colours = crate::output::wants_colour(&std::io::stderr()) && std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // It is started once.
    let _ = subscriber.try_init();
}
