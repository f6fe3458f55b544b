//! Programs that carry files too: scp and rsync over an sshd of this bench's own, magic-wormhole over a mailbox of its own,
//! sendme without its relays.
//! What is missing is skipped by name.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ::tests::fixture::Failed;

use crate::spent::{Spending, Spent};

/// Where programs are that only an administrator's path has.
const SYSTEM: &str = "/usr/sbin:/usr/local/sbin:/sbin";
/// How long a server may take to listen, or its last child to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(1);
/// The cipher of both, so that everybody seals with the same.
const CIPHER: &str = "aes128-gcm@openssh.com";
/// Where sshd wants an empty folder if it runs as root.
const SSHD_RUN: &str = "/run/sshd";
/// The words under which two wormholes meet.
const CODE: &str = "7-bench-files";

/// The path of a program, if it is installed.
fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var("PATH").unwrap_or_default();
    paths.split(':').chain(SYSTEM.split(':')).map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Which of them are missing, in words that say how to install them.
fn missing(names: &[(&str, &str)]) -> Option<String> {
    let (name, package) = names.iter().find(|(name, _)| program(name).is_none())?;
    Some(format!("skipped, {name} is not installed; on Debian and Ubuntu: sudo apt-get install {package}"))
}

/// Whether there is an rsync.
pub(crate) fn rsync() -> Result<(), String> {
    missing(&[("rsync", "rsync")]).map_or(Ok(()), Err)
}

/// A server that ends with this value.
#[derive(Debug)]
struct Server(Child);

impl Server {
    fn start(mut command: Command, port: u16) -> Result<Self, Failed> {
        let mut server = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if server.0.try_wait()?.is_some() || Instant::now() > until {
                let _ = server.0.kill();
                let mut said = String::new();
                if let Some(stderr) = &mut server.0.stderr {
                    stderr.read_to_string(&mut said)?;
                }
                return Err(format!("{command:?} does not listen: {said}").into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Waits until it has no children: only what has ended is counted.
    fn childless(&self) -> Result<(), Failed> {
        let id = self.0.id();
        let until = Instant::now() + PATIENCE;
        while !fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?.is_empty() {
            if Instant::now() > until {
                return Err("a server's child does not end".into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// A port of loopback that nobody has.
fn free_port() -> Result<u16, Failed> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn run(command: &mut Command) -> Result<(), Failed> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// An sshd on loopback with a host key, a client's key and a configuration of its own.
#[derive(Debug)]
pub(crate) struct Ssh {
    server: Server,
    folder: PathBuf,
    port: u16,
    /// Whether the folder that a root's sshd wants was made here.
    made: bool,
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_dir(SSHD_RUN);
        }
    }
}

impl Ssh {
    /// Starts it in a folder of its own; words if something is missing.
    pub(crate) fn start(folder: &Path) -> Result<Result<Self, String>, Failed> {
        let needed = [("sshd", "openssh-server"), ("scp", "openssh-client"), ("ssh-keygen", "openssh-client")];
        if let Some(why) = missing(&needed) {
            return Ok(Err(why));
        }
        let folder = folder.join("ssh");
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for key in ["host", "client"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key)))?;
        }
        let port = free_port()?;
        let host = fs::read_to_string(folder.join("host.pub"))?;
        fs::write(folder.join("known"), format!("[127.0.0.1]:{port} {host}"))?;
        fs::copy(folder.join("client.pub"), folder.join("authorized"))?;
        let at = folder.display();
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n\
             Ciphers {CIPHER}\nSubsystem sftp internal-sftp\n"
        );
        fs::write(folder.join("settings"), settings)?;
        let made = !Path::new(SSHD_RUN).exists() && fs::create_dir(SSHD_RUN).is_ok();
        let mut sshd = Command::new(program("sshd").unwrap_or_default());
        sshd.args(["-D", "-e", "-f"]).arg(folder.join("settings"));
        Ok(Ok(Self { server: Server::start(sshd, port)?, folder, port, made }))
    }

    fn options(&self) -> Vec<String> {
        let at = self.folder.display();
        let options =
            ["BatchMode=yes".to_owned(), "Compression=no".to_owned(), format!("UserKnownHostsFile={at}/known")];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
        ["-F", "none", "-c", CIPHER, "-i"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{at}/client")])
            .chain(options)
            .collect()
    }

    fn measure(&self, command: &mut Command) -> Result<Spent, Failed> {
        self.server.childless()?;
        let spending = Spending::begin(Some(self.server.0.id()))?;
        run(command)?;
        let wall = spending.wall();
        self.server.childless()?;
        spending.end_after(wall)
    }

    /// What signing in takes, with nothing carried.
    pub(crate) fn nothing(&self) -> Result<Spent, Failed> {
        let port = self.port.to_string();
        self.measure(Command::new("ssh").args(self.options()).args(["-p", &port, "127.0.0.1", "true"]))
    }

    /// A file by scp.
    pub(crate) fn scp(&self, from: &Path, to: &Path) -> Result<Spent, Failed> {
        let to = format!("127.0.0.1:{}", to.display());
        self.measure(
            Command::new("scp").arg("-q").args(self.options()).args(["-P", &self.port.to_string()]).arg(from).arg(to),
        )
    }

    /// A folder by rsync, if there is one.
    pub(crate) fn rsync(&self, from: &Path, to: &Path) -> Result<Option<Spent>, Failed> {
        if rsync().is_err() {
            return Ok(None);
        }
        let shell = format!("ssh -p {} {}", self.port, self.options().join(" "));
        let to = format!("127.0.0.1:{}", to.display());
        self.measure(Command::new("rsync").args(["-a", "-e", &shell]).arg(from).arg(to)).map(Some)
    }
}

/// A mailbox at which two wormholes meet.
#[derive(Debug)]
pub(crate) struct Wormhole {
    _server: Server,
    folder: PathBuf,
    port: u16,
}

impl Wormhole {
    /// Starts it in a folder of its own; words if something is missing.
    pub(crate) fn start(folder: &Path) -> Result<Result<Self, String>, Failed> {
        let needed = [("wormhole", "magic-wormhole"), ("twist3", "python3-magic-wormhole-mailbox-server")];
        if let Some(why) = missing(&needed) {
            return Ok(Err(why));
        }
        let folder = folder.join("wormhole");
        fs::create_dir(&folder)?;
        let port = free_port()?;
        let mut mailbox = Command::new("twist3");
        let listen = format!("--port=tcp:{port}:interface=127.0.0.1");
        mailbox.current_dir(&folder).args([
            "wormhole-mailbox",
            &listen,
            "--channel-db=:memory:",
            "--usage-db=:memory:",
        ]);
        Ok(Ok(Self { _server: Server::start(mailbox, port)?, folder, port }))
    }

    /// A file or a folder from one to the other, both started anew.
    pub(crate) fn carry(&self, from: &Path, to: &Path) -> Result<Spent, Failed> {
        let wormhole = |words: &[&str]| {
            let mut command = Command::new("wormhole");
            command.current_dir(&self.folder).args(["--relay-url", &format!("ws://127.0.0.1:{}/v1", self.port)]);
            // No relay: the two find each other on loopback.
            command.args(["--transit-helper", "", "--appid", "bench"]).args(words);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            command
        };
        let spending = Spending::begin(None)?;
        let mut sending = wormhole(&["send", "--hide-progress", "--code", CODE]).arg(from).spawn()?;
        let receiving = wormhole(&["receive", "--hide-progress", "--accept-file", "-o"]).arg(to).arg(CODE).output()?;
        let sent = sending.wait()?;
        if !(sent.success() && receiving.status.success()) {
            let said = String::from_utf8_lossy(&receiving.stderr).into_owned();
            return Err(format!("wormhole failed: {said}").into());
        }
        spending.end()
    }
}

/// sendme, which is iroh's: its sender hashes before it says where it is, as we do before an offer.
#[derive(Debug)]
pub(crate) struct Sendme {
    folder: PathBuf,
}

impl Sendme {
    /// A folder of its own; words if it is missing.
    pub(crate) fn find(folder: &Path) -> Result<Result<Self, String>, Failed> {
        if program("sendme").is_none() {
            let how = "cargo install --locked --no-default-features sendme";
            return Ok(Err(format!("skipped, sendme is not installed; {how}")));
        }
        let folder = folder.join("sendme");
        fs::create_dir(&folder)?;
        Ok(Ok(Self { folder }))
    }

    /// A file from one that has hashed it already to another, which is started anew.
    pub(crate) fn carry(&self, from: &Path) -> Result<Spent, Failed> {
        let [at, to] = ["sender", "recipient"].map(|name| self.folder.join(name));
        fs::create_dir(&at)?;
        fs::create_dir(&to)?;
        let mut sending = Command::new("sendme");
        sending.current_dir(&at).args(["send", "--no-progress", "--relay", "disabled", "--ticket-type", "addresses"]);
        sending.args(["--magic-ipv4-addr", "127.0.0.1:0"]).arg(from);
        let sending = sending.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut sending = Server(sending);
        let said = BufReader::new(sending.0.stdout.take().ok_or("sendme says nothing")?);
        let ticket =
            said.lines().map_while(Result::ok).find_map(|line| Some(line.strip_prefix("sendme receive ")?.to_owned()));
        let ticket = ticket.ok_or("sendme does not say where it is")?;
        let spending = Spending::begin(Some(sending.0.id()))?;
        let receive = ["receive", "--no-progress", "--relay", "disabled", ticket.trim()];
        run(Command::new("sendme").current_dir(&to).args(receive))?;
        let spent = spending.end()?;
        drop(sending);
        let whole = fs::metadata(to.join(from.file_name().unwrap_or_default()))?.len() == fs::metadata(from)?.len();
        fs::remove_dir_all(&at)?;
        fs::remove_dir_all(&to)?;
        if whole { Ok(spent) } else { Err("sendme did not carry all of it".into()) }
    }
}

/// Says a line.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
