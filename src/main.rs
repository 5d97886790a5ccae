//! The `edm-agent` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    edm_agent::cli::main()
}
