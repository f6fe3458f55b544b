use super::*;
use crate::prompt::Kind;

fn read(arguments: &[&str], environment: &[(&str, &str)], terminal: Kind) -> Result<Config, ConfigError> {
    let arguments = std::iter::once("node").chain(arguments.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::read(arguments, environment, terminal)
}

#[test]
fn an_address_has_host_port_and_maybe_a_fingerprint() {
    let fingerprint = "ab".repeat(32);
    for (text, host_port) in [
        ("127.0.0.1:7000", "127.0.0.1:7000"),
        ("directory.example.org:443", "directory.example.org:443"),
        ("[::1]:7000", "[::1]:7000"),
    ] {
        let address: DirectoryAddress = text.parse().unwrap();
        assert_eq!((address.host_port.as_str(), address.fingerprint), (host_port, None));
        let address: DirectoryAddress = format!("{text}#{fingerprint}").parse().unwrap();
        assert_eq!(address.fingerprint, Some(Fingerprint([0xab; 32])));
    }
    for text in ["", "localhost", ":7000", "host:0", "host:70000", "::1:7000", "a b:7000", "host:"] {
        assert_eq!(text.parse::<DirectoryAddress>(), Err(AddressError::Form), "{text:?}");
    }
    assert_eq!("host:7000#abc".parse::<DirectoryAddress>(), Err(AddressError::Fingerprint));
}

#[test]
fn commands_come_from_script_flags_pipe_or_person_in_this_order() {
    let source = |arguments: &[&str], terminal| read(arguments, &[], terminal).unwrap().source;
    assert_eq!(source(&["--script", "a.txt"], Kind::Rich), Source::File("a.txt".into()));
    assert_eq!(source(&["--script", "-"], Kind::Rich), Source::StandardInput);
    let commands = Source::Commands(vec!["PING".into(), "LIST".into()]);
    assert_eq!(source(&["-c", "PING", "-c", "LIST"], Kind::Pipe), commands);
    assert_eq!(source(&[], Kind::Pipe), Source::StandardInput);
    assert_eq!(source(&["--no-input"], Kind::Rich), Source::StandardInput);
    assert_eq!(source(&["--json"], Kind::Rich), Source::StandardInput);
    assert_eq!(source(&[], Kind::Plain), Source::Prompt);
    assert_eq!(source(&[], Kind::Rich), Source::Prompt);
}

#[test]
fn colours_are_for_rich_terminals_unless_asked_otherwise() {
    let color = |arguments: &[&str], environment: &[(&str, &str)], terminal| {
        read(arguments, environment, terminal).unwrap().color
    };
    assert!(color(&[], &[], Kind::Rich));
    assert!(color(&[], &[("NO_COLOR", "")], Kind::Rich));
    assert!(!color(&[], &[("NO_COLOR", "1")], Kind::Rich));
    assert!(color(&["--color", "always"], &[("NO_COLOR", "1")], Kind::Pipe));
    assert!(!color(&["--color", "never"], &[], Kind::Rich));
    assert!(!color(&[], &[], Kind::Plain) && !color(&[], &[], Kind::Pipe));
}

#[test]
fn a_wrong_command_line_is_refused_as_usage() {
    for arguments in [
        &["--nonsense"][..],
        &["--profile", "../etc"],
        &["--profile", "a", "--data", "b"],
        &["--script", "a", "-c", "PING"],
        &["--set", "novalue"],
        &["--set", "1A=x"],
        &["-v", "-q"],
        &["--bind", "somewhere"],
        &["--directory", "nowhere"],
        &["stray"],
    ] {
        let error = read(arguments, &[], Kind::Rich).unwrap_err();
        assert!(matches!(&error, ConfigError::Arguments(error) if error.exit_code() == 2), "{arguments:?}");
    }
}

#[test]
fn the_profile_is_a_folder_of_its_own() {
    let given = read(&["--data", "here"], &[], Kind::Rich).unwrap().profile;
    assert_eq!(given, ProfilePlace { folder: "here".into(), given: true });
    let named = read(&["--profile", "work"], &[], Kind::Rich).unwrap().profile;
    assert!(named.folder.ends_with("tuppence/profiles/work") && !named.given, "{named:?}");
    assert!(read(&[], &[], Kind::Rich).unwrap().profile.folder.ends_with("tuppence/profiles/default"));
}
