//! The product's node with cheap password stretching, so that tests with many processes don't wait for Argon2. It is
//! built in this package alone: the shipped program has no way to it.

use std::{io::Write as _, process::ExitCode};

use node::config::{Config, ConfigError};
use node_core::stretch::StretchParameters;

const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(_) => return ExitCode::FAILURE,
    };
    let Ok(runtime) = node::runtime() else { return ExitCode::FAILURE };
    runtime.block_on(node::run(config, CHEAP)).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{error}");
        ExitCode::from(error.code() as u8)
    })
}
