//! What a machine can check of how the project is laid out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file above this many lines asks to become two.
const LINES: usize = 400;

/// Files that are longer, and how long each may be: the numbers may only shrink.
const LONGER: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files that git tracks, or would track.
fn files() -> Vec<String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "git ls-files");
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().map(str::to_owned).filter(|name| root().join(name).is_file()).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rust() -> impl Iterator<Item = String> {
    files().into_iter().filter(|name| name.ends_with(".rs"))
}

/// The names under `[dependencies]` of a manifest, or under another heading.
fn dependencies(manifest: &str, heading: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text.split("\n[").find(|section| section.trim_start_matches('[').starts_with(&format!("{heading}]")));
    let lines = section.unwrap_or_default().lines().skip(1).filter(|line| !line.trim_start().starts_with('#'));
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next()).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let rows: [(&str, &[&str]); 7] = [
        ("directory/protocol/Cargo.toml", &[]),
        ("directory/membership/Cargo.toml", &["protocol"]),
        ("directory/settlement/Cargo.toml", &["protocol", "membership"]),
        ("directory/Cargo.toml", &["protocol", "membership", "settlement"]),
        ("node/core/Cargo.toml", &["protocol", "membership", "settlement"]),
        ("node/Cargo.toml", &["protocol", "node-core", "membership"]),
        ("tests/Cargo.toml", &["protocol", "membership", "settlement", "directory", "node-core", "node"]),
    ];
    let own = ["protocol", "membership", "settlement", "directory", "node-core", "node"];
    for (manifest, allowed) in rows {
        for name in dependencies(manifest, "dependencies").iter().filter(|name| own.contains(&name.as_str())) {
            assert!(allowed.contains(&name.as_str()), "{manifest} must not depend on {name}");
        }
    }
}

#[test]
fn the_cores_know_neither_runtime_nor_sockets_nor_clocks() {
    let forbidden = ["tokio", "quinn", "rustls", "rusqlite", "jiff", "time", "chrono", "getrandom"];
    let manifests = [
        "directory/protocol/Cargo.toml",
        "directory/membership/Cargo.toml",
        "directory/settlement/Cargo.toml",
        "node/core/Cargo.toml",
    ];
    for manifest in manifests {
        let found: Vec<String> = dependencies(manifest, "dependencies")
            .into_iter()
            .filter(|name| forbidden.contains(&name.as_str()))
            .collect();
        assert!(found.is_empty(), "{manifest} depends on {found:?}");
    }
    let cores = [
        "directory/protocol/src/",
        "directory/membership/src/",
        "directory/settlement/src/",
        "node/core/src/",
        "directory/src/core",
    ];
    for name in rust().filter(|name| cores.iter().any(|core| name.starts_with(core))) {
        for word in ["SystemTime", "Instant::now", "std::net::Udp", "std::net::Tcp", "std::fs", "OsRng", "thread_rng"] {
            assert!(!read(&name).contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn the_top_level_has_what_it_should_and_nothing_else() {
    let wanted = ["Cargo.toml", "README.md", "node", "directory", "scripts", "examples", "tests"];
    let beside = [
        "Cargo.lock",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "SECURITY.md",
        "clippy.toml",
        "deny.toml",
        "docs",
        "rust-toolchain.toml",
        "rustfmt.toml",
    ];
    let top: BTreeSet<String> = files()
        .iter()
        .filter_map(|name| name.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .map(str::to_owned)
        .collect();
    for name in &top {
        assert!(wanted.contains(&name.as_str()) || beside.contains(&name.as_str()), "{name} at the top level");
    }
    for name in wanted {
        assert!(top.contains(name), "{name} is missing");
    }
}

#[test]
fn files_stay_short_and_long_ones_only_shrink() {
    let longer: BTreeMap<&str, usize> = LONGER.iter().copied().collect();
    for name in rust() {
        let lines = read(&name).lines().count();
        let limit = longer.get(name.as_str()).copied().unwrap_or(LINES);
        assert!(lines <= limit, "{name} has {lines} lines, at most {limit} are allowed");
    }
    for (name, limit) in LONGER {
        let lines = read(name).lines().count();
        assert_eq!(lines, *limit, "{name} has shrunk: so must its entry here");
        assert!(lines > LINES, "{name} needs no entry any more");
    }
}

#[test]
fn every_document_that_the_readme_names_exists() {
    let readme = read("README.md");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let code = readme.split('`').skip(1).step_by(2);
    let looks_like_a_file = |name: &&str| {
        name.contains('/')
            && !name.contains(' ')
            && ["docs/", "scripts/", "examples/", "node/", "directory/", "tests/"]
                .iter()
                .any(|top| name.starts_with(top))
    };
    let named: BTreeSet<&str> = links
        .filter(|link| !link.contains("://") && !link.starts_with('#'))
        .chain(code.filter(looks_like_a_file))
        .collect();
    assert!(!named.is_empty());
    for name in named {
        let path = name.split('#').next().unwrap_or(name);
        assert!(root().join(path).exists(), "README.md names {name}, which is not there");
    }
}

#[test]
fn one_copy_of_the_cryptographic_library_is_in_the_tree() {
    let lock = read("Cargo.lock");
    for name in ["aws-lc-sys", "aws-lc-rs", "rustls", "mls-rs", "rusqlite"] {
        let copies = lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
        assert_eq!(copies, 1, "{name}");
    }
}

#[test]
fn the_packages_that_were_wished_for_are_direct_dependencies_and_are_used() {
    let wished =
        ["tokio", "quinn", "rustls", "rcgen", "aes-gcm", "hkdf", "p256", "rustyline", "dashmap", "serde", "postcard"];
    let crates = ["directory/protocol", "directory/membership", "directory", "node/core", "node"];
    for name in wished {
        let users: Vec<&str> = crates
            .into_iter()
            .filter(|folder| dependencies(&format!("{folder}/Cargo.toml"), "dependencies").contains(name))
            .collect();
        assert!(!users.is_empty(), "nobody depends on {name}");
        let path = format!("{}::", name.replace('-', "_"));
        let used = rust().filter(|file| users.iter().any(|folder| file.starts_with(&format!("{folder}/src/"))));
        assert!(used.into_iter().any(|file| read(&file).contains(&path)), "nobody uses {name}");
    }
}

#[test]
fn every_dependency_that_is_named_is_used() {
    for folder in ["directory/protocol", "directory/membership", "directory", "node/core", "node"] {
        let sources: Vec<String> =
            rust().filter(|file| file.starts_with(&format!("{folder}/src/"))).map(|file| read(&file)).collect();
        for name in dependencies(&format!("{folder}/Cargo.toml"), "dependencies") {
            let word = match name.as_str() {
                "rustls-webpki" => "webpki".to_owned(),
                other => other.replace('-', "_"),
            };
            assert!(sources.iter().any(|source| source.contains(&word)), "{folder} does not use {name}");
        }
    }
}

#[test]
fn tests_neither_sleep_nor_are_ignored_and_nothing_is_left_for_later() {
    // Put together so that this file does not find itself.
    let sleeps = [["thread::", "sleep("].concat(), ["time::", "sleep("].concat()];
    let promises =
        [["todo", "!"].concat(), ["unimplemented", "!"].concat(), ["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let ignored = ["#[", "ignore"].concat();
    for name in rust() {
        let text = read(&name);
        assert!(!text.contains(&ignored), "{name} ignores a test");
        for promise in &promises {
            assert!(!text.contains(promise), "{name} has {promise}");
        }
        if name.contains("/tests/") || name.ends_with("tests.rs") {
            for sleep in &sleeps {
                assert!(!text.contains(sleep), "{name} sleeps");
            }
        }
    }
}

#[test]
fn the_shipped_programs_have_no_switch_that_makes_passwords_cheap() {
    for name in ["node/src/main.rs", "directory/src/main.rs", "node/src/config.rs", "node/src/run.rs"] {
        let text = read(name);
        for word in ["memory_kib", "passes:", "lanes:"] {
            assert!(!text.contains(word), "{name} sets {word}");
        }
    }
    assert!(read("node/src/main.rs").contains("StretchParameters::PRODUCTION"));
}
