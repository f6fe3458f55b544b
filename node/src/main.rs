//! `node`: reads the command line, and runs.

use std::process::ExitCode;

use node::config::{Config, ConfigError};
use node_core::stretch::StretchParameters;

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => return fail(&error, 1),
    };
    let runtime = match node::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    match runtime.block_on(node::run(config, StretchParameters::PRODUCTION)) {
        Ok(code) => code,
        Err(error) => fail(&error, error.code() as u8),
    }
}

#[expect(clippy::print_stderr, reason = "the one place where nothing else can speak any more")]
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("node: {error}");
    ExitCode::from(code)
}
