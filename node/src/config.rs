//! What the command line and the environment ask for, read once and handed down; nothing below reads either.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::{Args, Parser, ValueEnum};
use etcetera::BaseStrategy as _;
use protocol::Fingerprint;

/// Where a directory is looked for unless the command line says otherwise.
pub const DEFAULT_DIRECTORY: &str = "127.0.0.1:7000";
/// The profile that is used unless the command line names one.
const DEFAULT_PROFILE: &str = "default";
/// Any free port, on every interface.
const DEFAULT_BIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Longest name of a profile: as long as every file system takes.
const PROFILE_NAME_MAX: usize = 64;

/// A directory's address, and its key if the person knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryAddress {
    /// `HOST:PORT`.
    pub host_port: String,
    /// Fingerprint of its root key, to be pinned before first contact.
    pub fingerprint: Option<Fingerprint>,
}

/// Why a text is no address of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No host or no port.
    #[error("an address has the form HOST:PORT or HOST:PORT#FINGERPRINT, as `{DEFAULT_DIRECTORY}`")]
    Form,
    /// The part after `#`.
    #[error("a fingerprint has 64 hexadecimal digits; `directory` prints it when it starts")]
    Fingerprint,
}

impl FromStr for DirectoryAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (address, fingerprint) = match text.split_once('#') {
            Some((address, fingerprint)) => {
                (address, Some(fingerprint.parse().map_err(|_| AddressError::Fingerprint)?))
            }
            None => (text, None),
        };
        let (host, port) = address.rsplit_once(':').ok_or(AddressError::Form)?;
        let is_host = !host.is_empty() && !host.contains(char::is_whitespace) && (!host.contains(':') || is_ipv6(host));
        if !is_host || port.parse::<u16>().ok().is_none_or(|port| port == 0) {
            return Err(AddressError::Form);
        }
        Ok(Self { host_port: address.to_owned(), fingerprint })
    }
}

impl fmt::Display for DirectoryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_port)
    }
}

fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|host| host.contains(':'))
}

/// Tuppence's node: end-to-end encrypted messages at a prompt or from a script.
///
/// Without --script, -c or piped input it asks for commands at a prompt; HELP lists them there.
#[derive(Debug, Parser)]
#[command(name = "node", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 ok, 1 other, 2 usage, 3 unreachable, 4 auth, 5 trust, 6 conflict, 7 refused, \
                        8 unknown outcome, 9 timeout, 130 and 143 signals.")]
struct Arguments {
    /// The directory to use; FINGERPRINT pins its key before first contact
    #[arg(long, value_name = "HOST:PORT[#FINGERPRINT]", default_value = DEFAULT_DIRECTORY)]
    directory: DirectoryAddress,
    /// Which of this user's profiles to use
    #[arg(long, value_name = "NAME", value_parser = profile_name, conflicts_with = "data")]
    profile: Option<String>,
    /// The profile's folder; with several actors DIR/<actor>
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where received files are put, instead of a folder of the profile's; with several actors DIR/<actor>
    #[arg(long, value_name = "DIR")]
    inbox: Option<PathBuf>,
    /// The UDP socket for everything
    #[arg(long, value_name = "ADDR:PORT", default_value_t = DEFAULT_BIND)]
    bind: SocketAddr,
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct InputArguments {
    /// Play a script; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "commands")]
    script: Option<PathBuf>,
    /// Run a command; may be repeated
    #[arg(short, value_name = "COMMAND")]
    commands: Vec<String>,
    /// Play only this actor's lines; may be repeated
    #[arg(long, value_name = "NAME")]
    actor: Vec<String>,
    /// Set a variable of the script; may be repeated
    #[arg(long = "set", value_name = "VAR=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Take the password from the first line of a file
    #[arg(long, value_name = "F", conflicts_with = "password_command")]
    password_file: Option<PathBuf>,
    /// Take the password from the first line that a command prints
    #[arg(long, value_name = "C")]
    password_command: Option<String>,
    /// Never ask anything: commands come from standard input even at a terminal
    #[arg(long)]
    no_input: bool,
    /// Pay without being asked, whatever SET confirm.above says
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct OutputArguments {
    /// One JSON object a line on standard output
    #[arg(long)]
    json: bool,
    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
    /// Log more
    #[arg(short, conflicts_with = "quiet")]
    verbose: bool,
    /// Log and say less
    #[arg(short)]
    quiet: bool,
    /// Log to a file
    #[arg(long, value_name = "F")]
    log_file: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What an audit needs.
    Normal,
    /// Everything.
    Verbose,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Where; standard error if absent, and then only if it was asked for and nobody looks at it.
    pub file: Option<PathBuf>,
    /// How.
    pub format: LogFormat,
    /// How much.
    pub verbosity: Verbosity,
}

/// Where the commands come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `--script FILE`.
    File(PathBuf),
    /// `--script -`, or a pipe.
    StandardInput,
    /// `-c`, as often as it was given.
    Commands(Vec<String>),
    /// A person.
    Prompt,
}

/// Where a password comes from, besides the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a shell command prints.
    Command(String),
}

/// The profile's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePlace {
    /// The folder of the single actor.
    pub folder: PathBuf,
    /// Whether `--data` gave it: then named actors live in folders below it, else in temporary ones.
    pub given: bool,
}

/// Everything that the command line and the environment say.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory.
    pub directory: DirectoryAddress,
    /// The profile.
    pub profile: ProfilePlace,
    /// Where received files are put; in the profile's folder if absent.
    pub inbox: Option<PathBuf>,
    /// The UDP socket.
    pub bind: SocketAddr,
    /// Where commands come from.
    pub source: Source,
    /// The actors to play; all if empty.
    pub actors: Vec<String>,
    /// Variables that `--set` gave, in order.
    pub variables: Vec<(String, String)>,
    /// The environment, for `${VAR}` in scripts.
    pub environment: BTreeMap<String, String>,
    /// Where a password comes from.
    pub password: Option<PasswordSource>,
    /// Whether standard output carries JSON.
    pub json: bool,
    /// Whether to use colours.
    pub color: bool,
    /// What standard input is.
    pub terminal: crate::prompt::Kind,
    /// Whether payments are never asked about at a prompt.
    pub yes: bool,
    /// The log.
    pub log: LogConfig,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong, or asked for help or the version: clap says so itself.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// There is no home directory to keep a profile in.
    #[error("there is no home directory ({0}); say where the profile is by --data DIR")]
    Home(etcetera::HomeDirError),
}

impl Config {
    /// Reads the process's own arguments and environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_process() -> Result<Self, ConfigError> {
        // A variable that is not text can't be expanded in a script anyway.
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let environment: BTreeMap<_, _> = std::env::vars_os().filter_map(text).collect();
        let terminal = crate::prompt::kind_of_standard_input(environment.get("TERM").map(String::as_str));
        Self::read(std::env::args_os(), environment, terminal)
    }

    /// Reads these arguments, the program's name first, and this environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: BTreeMap<String, String>,
        terminal: crate::prompt::Kind,
    ) -> Result<Self, ConfigError> {
        let Arguments { directory, profile, data, inbox, bind, input, output } = Arguments::try_parse_from(arguments)?;
        let source = match (input.script, terminal) {
            (Some(path), _) if path.as_os_str() == "-" => Source::StandardInput,
            (Some(path), _) => Source::File(path),
            (None, _) if !input.commands.is_empty() => Source::Commands(input.commands),
            (None, crate::prompt::Kind::Pipe) => Source::StandardInput,
            // A prompt asks people, in words for people.
            (None, _) if input.no_input || output.json => Source::StandardInput,
            (None, _) => Source::Prompt,
        };
        let no_color = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match output.color {
            When::Always => true,
            When::Never => false,
            When::Auto => !no_color && terminal == crate::prompt::Kind::Rich,
        };
        let verbosity = match (output.verbose, output.quiet) {
            (true, _) => Verbosity::Verbose,
            (_, true) => Verbosity::Quiet,
            _ => Verbosity::Normal,
        };
        Ok(Self {
            directory,
            profile: place(data, profile)?,
            inbox,
            bind,
            source,
            actors: input.actor,
            variables: input.variables,
            environment,
            password: input
                .password_file
                .map(PasswordSource::File)
                .or(input.password_command.map(PasswordSource::Command)),
            json: output.json,
            color,
            terminal,
            yes: input.yes,
            log: LogConfig { file: output.log_file, format: output.log_format, verbosity },
        })
    }
}

fn place(data: Option<PathBuf>, profile: Option<String>) -> Result<ProfilePlace, ConfigError> {
    if let Some(folder) = data {
        return Ok(ProfilePlace { folder, given: true });
    }
    let strategy = etcetera::choose_base_strategy().map_err(ConfigError::Home)?;
    let name = profile.as_deref().unwrap_or(DEFAULT_PROFILE);
    Ok(ProfilePlace { folder: strategy.data_dir().join("tuppence").join("profiles").join(name), given: false })
}

fn profile_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text.len() <= PROFILE_NAME_MAX
        && !text.starts_with(['.', '-'])
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_name { Ok(text.to_owned()) } else { Err("a profile's name has letters, digits, '-', '_' and '.'".to_owned()) }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as VAR=VALUE")?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err("a variable's name has letters, digits and '_', and no digit first".to_owned())
    }
}

#[cfg(test)]
mod tests;
