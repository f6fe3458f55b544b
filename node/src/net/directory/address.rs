//! `HOST:PORT[#FINGERPRINT]`: where a directory is, and which one it must be.

use std::{fmt, net::SocketAddr, str::FromStr};

use protocol::Fingerprint;

/// Most addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 8;

/// A text is no directory's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no directory: give HOST:PORT or HOST:PORT#FINGERPRINT, as --directory 127.0.0.1:7000")]
pub struct NotADirectory(String);

/// Where a directory is, and its key's fingerprint if that is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryAddress {
    /// A name or an address.
    pub host: String,
    /// A UDP port.
    pub port: u16,
    /// The key that it must have.
    pub pin: Option<Fingerprint>,
}

impl DirectoryAddress {
    /// All addresses of the host, the first few.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.take(ADDRESSES_TRIED_MAX).collect())
    }

    /// Without the pin, as people write it.
    #[must_use]
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for DirectoryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        self.pin.map_or(Ok(()), |pin| write!(f, "#{pin}"))
    }
}

impl FromStr for DirectoryAddress {
    type Err = NotADirectory;

    fn from_str(text: &str) -> Result<Self, NotADirectory> {
        let wrong = || NotADirectory(text.to_owned());
        let (place, pin) = match text.split_once('#') {
            Some((place, pin)) => (place, Some(pin.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(bare) => bare,
            // Without brackets it would not be clear where an IPv6 address ends.
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.contains(char::is_whitespace) || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, pin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, u16, bool)> {
        let address: DirectoryAddress = text.parse().ok()?;
        assert_eq!(address.to_string(), text);
        Some((address.host, address.port, address.pin.is_some()))
    }

    #[test]
    fn names_and_addresses_are_read_with_and_without_a_pin_and_written_alike() {
        let pin = "ab".repeat(32);
        assert_eq!(parse("127.0.0.1:7000"), Some(("127.0.0.1".into(), 7000, false)));
        assert_eq!(parse(&format!("chat.example.org:1#{pin}")), Some(("chat.example.org".into(), 1, true)));
        assert_eq!(parse("[::1]:7000"), Some(("::1".into(), 7000, false)));
    }

    #[test]
    fn whatever_is_no_directory_is_refused_with_an_example() {
        for text in ["", "host", "host:", ":7000", "host:0", "host:70000", "::1:7000", "a b:1", "host:1#", "host:1#zz"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        let message = "host".parse::<DirectoryAddress>().unwrap_err().to_string();
        assert!(message.contains("--directory 127.0.0.1:7000"), "{message}");
    }
}
