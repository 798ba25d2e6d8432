use super::*;

const TEXT: &str = "[DEFAULT]\nendpoint='https://a/'\ntenancy='t'\nuser='u'\nkey_file='k'\nfingerprint='f'\n";
const OCI: &str = "\
# a comment
[DEFAULT]
user=ocid1.user.oc1..a
fingerprint = aa:bb
tenancy=ocid1.tenancy.oc1..t
key_file=~/.oci/key.pem

[other]
user=ocid1.user.oc1..b
";

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hako-config-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn around(&self, variable: fn(&str) -> Option<OsString>) -> Surroundings {
        Surroundings { variable, home: Some(self.0.clone()) }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn nothing(_: &str) -> Option<OsString> {
    None
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let directory = Directory::new("precedence");
    let config = Some(directory.write("config.toml", TEXT));
    let connection = Connection { config, ..Connection::default() };
    let profile = directory.around(nothing).profile(&connection).unwrap();
    assert_eq!((profile.endpoint.as_str(), profile.compartment.as_str()), ("https://a", "t"));
    assert_eq!(profile.user(), Some("u"));

    let told = directory.around(|name| match name {
        "HAKO_USER" => Some("v".into()),
        "HAKO_TENANCY" => Some("t2".into()),
        _ => None,
    });
    let profile = told.profile(&connection).unwrap();
    assert_eq!((profile.user(), profile.compartment.as_str()), (Some("v"), "t2"));
    let more = Connection { endpoint: Some("https://b".into()), compartment: Some("c".into()), ..connection.clone() };
    let profile = told.profile(&more).unwrap();
    assert_eq!((profile.endpoint.as_str(), profile.compartment.as_str()), ("https://b", "c"));

    let token = directory.around(|name| (name == "HAKO_TOKEN").then(|| "abc".into()));
    assert_eq!(token.profile(&connection).unwrap().identity, Identity::Token("abc".into()));
}

#[test]
fn a_login_wins_over_a_profiles_key_but_not_over_variables() {
    let directory = Directory::new("login");
    let connection = Connection { config: Some(directory.write("config.toml", TEXT)), ..Connection::default() };
    let login = directory.write("logins/DEFAULT.json", "{}");
    assert_eq!(directory.around(nothing).profile(&connection).unwrap().identity, Identity::Login(login));
    let told = directory.around(|name| (name == "HAKO_USER").then(|| "v".into()));
    assert_eq!(told.profile(&connection).unwrap().user(), Some("v"));
}

#[test]
fn variables_alone_are_enough() {
    let directory = Directory::new("variables");
    let told = directory.around(|name| match name {
        "HAKO_USER" => Some("u".into()),
        "HAKO_KEY_FILE" => Some("k".into()),
        "HAKO_FINGERPRINT" => Some("f".into()),
        _ => None,
    });
    let connection = Connection { endpoint: Some("https://a".into()), ..Connection::default() };
    let profile = told.profile(&connection).unwrap();
    assert_eq!((profile.user(), &profile.file), (Some("u"), &None));
    let error = told.profile(&Connection::default()).unwrap_err();
    assert!(error.to_string().contains("HAKO_ENDPOINT"), "{error}");
    let partly = directory.around(|name| (name == "HAKO_USER").then(|| "u".into()));
    assert!(partly.profile(&connection).unwrap_err().to_string().contains("HAKO_KEY_FILE"));
}

#[test]
fn an_oci_file_is_read_if_there_is_none_of_ours() {
    let directory = Directory::new("oci");
    directory.write(".oci/config", OCI);
    let connection = Connection { endpoint: Some("https://a".into()), ..Connection::default() };
    let profile = directory.around(nothing).profile(&connection).unwrap();
    let key = |user: &str| {
        let (user, fingerprint) = (format!("ocid1.user.oc1..{user}"), "aa:bb".to_owned());
        Identity::Key(ApiKey { user, file: directory.0.join(".oci/key.pem"), fingerprint })
    };
    assert_eq!((profile.identity, profile.tenancy.as_str()), (key("a"), "ocid1.tenancy.oc1..t"));
    let other = directory.around(|name| (name == "OCI_CLI_PROFILE").then(|| "other".into()));
    assert_eq!(other.profile(&connection).unwrap().identity, key("b"));

    directory.write(".hako/config.toml", TEXT);
    assert_eq!(directory.around(nothing).profile(&connection).unwrap().user(), Some("u"));
}

#[test]
fn what_an_oci_file_asks_for_and_we_dont_do_is_refused() {
    let text = "[DEFAULT]\nuser=u\npass_phrase=x\n";
    let error = oci::entry(text, "DEFAULT", Path::new("c"), None).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().contains("openssl pkey"), "{error}");
}

#[test]
fn endpoints_that_would_tell_a_token_to_anybody_are_refused() {
    for bad in ["http://a", "a:6443", "https://", "https:///x", ""] {
        let error = secure(bad.to_owned(), "HAKO_ENDPOINT or --endpoint").unwrap_err();
        assert_eq!(error.exit_code(), 64, "{bad}");
        assert!(error.to_string().contains("HAKO_ENDPOINT"), "{error}");
    }
}

#[test]
fn a_missing_profile_names_those_there_are() {
    for (text, file) in [(TEXT, "c.toml"), ("[DEFAULT]\nuser=u", "c")] {
        let entry = if file == "c" {
            oci::entry(text, "other", Path::new(file), None)
        } else {
            file::entry(text, "other", Path::new(file))
        };
        let error = entry.unwrap_err();
        assert_eq!(error.to_string(), format!("there is no profile \"other\" in {file}; it has: DEFAULT"));
        assert_eq!(error.exit_code(), 64);
    }
}

#[test]
fn a_profile_is_added_and_the_others_stay() {
    let directory = Directory::new("add");
    let file = directory.write("config.toml", "# mine\n[a]\nendpoint = 'https://a'");
    let entry = Entry { endpoint: Some("https://b".into()), ..Entry::default() };
    add_profile(&file, "b c", &entry).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n[a]\n"), "{text}");
    assert_eq!(read_profile(&file, "b c").unwrap(), Some(entry.clone()));
    assert_eq!(add_profile(&file, "a", &entry).unwrap_err().exit_code(), 64);
}
