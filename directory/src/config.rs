//! The command line: parsed once, then handed down as a typed configuration. Nothing below reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use etcetera::BaseStrategy as _;
use protocol::{
    directory::Registration,
    money::{CURRENCY_MAX, Currency, SCALE_MAX},
};

use crate::server::MoneySettings;

/// Where the directory listens unless told otherwise.
const BIND_DEFAULT: &str = "0.0.0.0:7000";
/// Flags about money, in the help.
const MONEY: &str = "Money";
/// Invite codes made in one go at most: enough for a school, few enough to print.
pub const INVITES_MAX: u32 = 10_000;

/// The whole command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "directory",
    version,
    about = "Tuppence's directory: accounts, mailboxes and addresses for a circle of people, over QUIC",
    after_help = "Without a command it serves until it gets SIGINT or SIGTERM.\n\
                  Once it accepts connections it prints one line: listening ADDRESS:PORT key FINGERPRINT"
)]
pub struct Arguments {
    /// Address and UDP port to listen on; port 0 picks a free one
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = BIND_DEFAULT)]
    pub bind: SocketAddr,
    /// Folder that holds everything the directory keeps [default: tuppence/directory in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Who can register
    #[arg(long, global = true, value_enum, default_value_t = RegistrationMode::Open)]
    pub registration: RegistrationMode,
    /// Who sees that somebody is online
    #[arg(long, global = true, value_enum, default_value_t = PresenceMode::Everyone)]
    pub presence: PresenceMode,
    /// What every new account has from the beginning, like 100.00 [default: 0]
    #[arg(long, global = true, value_name = "AMOUNT", help_heading = MONEY)]
    pub opening_balance: Option<String>,
    /// What the money is called, and its decimals [default: no name, 2]; fixed at the first start
    #[arg(long, global = true, value_name = "NAME[:SCALE]", value_parser = currency, help_heading = MONEY)]
    pub currency: Option<Currency>,
    /// The most in one payment
    #[arg(long, global = true, value_name = "AMOUNT", help_heading = MONEY)]
    pub limit_payment: Option<String>,
    /// The most that one account pays in a day of UTC
    #[arg(long, global = true, value_name = "AMOUNT", help_heading = MONEY)]
    pub limit_day: Option<String>,
    /// The most that one account pays one other in a day of UTC
    #[arg(long, global = true, value_name = "AMOUNT", help_heading = MONEY)]
    pub limit_peer: Option<String>,
    /// Log more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log to a file instead of standard error
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the operator asks on the same machine, whether the service runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Makes invite codes, each good for one registration, and prints them, one a line
    Invite {
        /// How many
        #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITES_MAX)))]
        count: u32,
    },
    /// Gives somebody who has lost password, recovery code and all devices their name back, with a new key: prints a
    /// code for it, and what it costs
    Reset {
        /// Whom
        #[arg(value_name = "USER")]
        user: String,
    },
    /// Issues money to somebody, once, and waits until it is posted
    Issue {
        /// To whom
        #[arg(value_name = "USER")]
        user: String,
        /// How much, like 12.50
        #[arg(value_name = "AMOUNT")]
        amount: String,
        /// What for: everybody who reads the ledger sees it
        #[arg(value_name = "MEMO")]
        memo: Vec<String>,
    },
    /// Makes every balance, every signature, the sum and the log anew from the first entry on; names the entry that breaks
    Audit,
    /// Writes every entry of the ledger to standard output, one JSON object a line
    Export,
    /// Shows what the directory holds
    Status,
}

/// Who can register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistrationMode {
    /// Anybody
    Open,
    /// Whoever has a code from `directory invite`
    Invite,
    /// Nobody
    Closed,
}

impl From<RegistrationMode> for Registration {
    fn from(mode: RegistrationMode) -> Self {
        match mode {
            RegistrationMode::Open => Self::Open,
            RegistrationMode::Invite => Self::Invite,
            RegistrationMode::Closed => Self::Closed,
        }
    }
}

/// Who sees that somebody is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresenceMode {
    /// Everybody on this directory
    Everyone,
    /// Contacts only
    Contacts,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Reads NAME or NAME:SCALE.
fn currency(text: &str) -> Result<Currency, String> {
    let (name, scale) = match text.rsplit_once(':') {
        Some((name, scale)) => {
            let digits = scale.parse().ok().filter(|_| scale.bytes().all(|byte| byte.is_ascii_digit()));
            (name, digits.ok_or_else(|| format!("the decimals are a number from 0 to {SCALE_MAX}, like EUR:2"))?)
        }
        None => (text, Currency::default().scale()),
    };
    let plain = name.chars().all(|letter| letter.is_alphanumeric() || "€$£¥".contains(letter));
    let name = name.to_owned().try_into().ok().filter(|_| plain && !name.is_empty());
    let name = name.ok_or_else(|| format!("a currency's name is one to {CURRENCY_MAX} bytes of letters and digits"))?;
    Currency::new(name, scale).ok_or_else(|| format!("the decimals are a number from 0 to {SCALE_MAX}, like EUR:2"))
}

/// Why the default data folder is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no home folder is known; say where to keep the data with --data DIR")]
pub struct NoHome;

impl Arguments {
    /// The data folder: the one given, or the user's own as XDG says.
    ///
    /// # Errors
    /// [`NoHome`] if none is given and no home folder is known.
    pub fn data_folder(&self) -> Result<PathBuf, NoHome> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| NoHome)?;
        Ok(strategy.data_dir().join("tuppence").join("directory"))
    }
}

impl Arguments {
    /// What is said about money.
    #[must_use]
    pub fn money(&self) -> MoneySettings {
        MoneySettings {
            currency: self.currency.clone(),
            opening_balance: self.opening_balance.clone(),
            payment_limit: self.limit_payment.clone(),
            day_limit: self.limit_day.clone(),
            peer_limit: self.limit_peer.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::error::ErrorKind> {
        Arguments::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        let before = parse("directory --data /d --quiet invite 3").unwrap();
        let after = parse("directory invite 3 --data /d --quiet").unwrap();
        for arguments in [before, after] {
            assert_eq!(arguments.command, Some(Command::Invite { count: 3 }));
            assert_eq!(arguments.data_folder(), Ok(PathBuf::from("/d")));
            assert!(arguments.quiet);
        }
    }

    #[test]
    fn without_flags_it_serves_anybody_on_port_7000() {
        let arguments = parse("directory").unwrap();
        assert_eq!(arguments.bind, "0.0.0.0:7000".parse().unwrap());
        assert_eq!(arguments.registration, RegistrationMode::Open);
        assert_eq!(arguments.presence, PresenceMode::Everyone);
        assert_eq!(arguments.log_format, LogFormat::Text);
        assert_eq!(arguments.command, None);
    }

    #[test]
    fn a_currency_has_a_name_and_perhaps_decimals() {
        let read = |text: &str| currency(text).map(|currency| (currency.name.to_string(), currency.scale()));
        assert_eq!(read("EUR"), Ok(("EUR".to_owned(), 2)));
        assert_eq!(read("point:0"), Ok(("point".to_owned(), 0)));
        assert_eq!(read("€:9"), Ok(("€".to_owned(), 9)));
        for wrong in ["", ":2", "EUR:", "EUR:10", "EUR:-1", "EUR:+1", "EUR:1:2", "two words", "seventeenletters1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_and_absurdly_many_invites_are_usage() {
        assert_eq!(parse("directory invite 0").unwrap_err(), clap::error::ErrorKind::ValueValidation);
        assert_eq!(parse("directory invite 10001").unwrap_err(), clap::error::ErrorKind::ValueValidation);
    }
}
