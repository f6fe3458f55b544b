//! What `scripts/needs` does on a machine that has not everything: it installs where it may, and else says what to install.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// What every machine has.
const EVERYWHERE: [&str; 7] = ["bash", "cat", "chmod", "dirname", "env", "pwd", "sed"];

/// A machine that has these programs and no others.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(user: u32) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let path = std::env::var("PATH").unwrap();
        for program in EVERYWHERE {
            let found = path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.exists());
            symlink(found.expect("it is on every machine"), machine.program(program)).unwrap();
        }
        machine.has("id", &format!("echo {user}"))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn has(self, name: &str, does: &str) -> Self {
        let file = self.program(name);
        fs::write(&file, format!("#!/usr/bin/env bash\n{does}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn with_compiler(self) -> Self {
        self.has("cc", "").has("make", "").has("perl", "")
    }

    /// Whether the script goes on, and what it says.
    fn needs(&self) -> (bool, Vec<String>) {
        let needs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/needs");
        let mut command = Command::new(self.program("bash"));
        command.arg("-c").arg(format!(". {}; echo went on >&2", needs.display()));
        command.env_clear().env("PATH", self.folder.path()).env("HOME", self.folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect();
        (output.status.success(), said)
    }
}

/// The toolchain that the repository names.
fn toolchain() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("rust-toolchain.toml");
    let text = fs::read_to_string(file).unwrap();
    text.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap().to_owned()
}

#[test]
fn who_may_not_install_a_compiler_is_told_which_packages_to_install() {
    let (went_on, said) = Machine::new(1_000).has("make", "").needs();
    assert!(!went_on);
    assert_eq!(
        said,
        [
            "Tuppence is built with gcc perl, which is not here. Install it, on Debian and Ubuntu by:",
            "    sudo apt-get install gcc perl",
        ]
    );
}

#[test]
fn who_may_not_install_rust_is_told_how_to() {
    let install = format!("    rustup toolchain install {} -c clippy -c rustfmt", toolchain());
    let (went_on, said) = Machine::new(1_000).with_compiler().needs();
    assert!(!went_on);
    let without = "Tuppence is written in Rust, which is not here. Install rustup as https://rustup.rs says, then:";
    assert_eq!(said, [without, &install]);

    let (went_on, said) = Machine::new(1_000).with_compiler().has("cargo", "exit 1").needs();
    assert!(!went_on);
    assert_eq!(said, [format!("Rust {} is not installed. Install it by:", toolchain()), install]);
}

#[test]
fn root_on_debian_gets_what_is_missing_installed_and_goes_on() {
    let machine = Machine::new(0);
    let (rustup, cargo) = (machine.program("rustup"), machine.program("cargo"));
    let (rustup, cargo) = (rustup.display(), cargo.display());
    let installs_cargo = format!("echo rustup $* >&2; printf '#!/usr/bin/env bash\\n' > {cargo}; chmod +x {cargo}");
    let installs_rustup = format!(
        "echo apt-get $* >&2\n\
         case \"$*\" in *rustup*)\n\
         cat > {rustup} <<'END'\n#!/usr/bin/env bash\n{installs_cargo}\nEND\n\
         chmod +x {rustup};;\n\
         esac"
    );
    let (went_on, said) = machine.has("apt-get", &installs_rustup).needs();
    let rustup = format!("rustup toolchain install {} --profile minimal -c clippy -c rustfmt", toolchain());
    assert!(went_on, "{said:?}");
    assert_eq!(
        said,
        [
            "installing gcc make perl",
            "apt-get update -qq",
            "apt-get install -qq -y gcc make perl",
            "apt-get update -qq",
            "apt-get install -qq -y rustup",
            &rustup,
            "went on",
        ]
    );
}

#[test]
fn a_machine_that_has_everything_is_left_alone() {
    let (went_on, said) = Machine::new(1_000).with_compiler().has("cargo", "").needs();
    assert_eq!((went_on, said), (true, vec!["went on".to_owned()]));
}
