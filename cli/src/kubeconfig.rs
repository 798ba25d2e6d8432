//! Merges a cluster's access into a kubeconfig file; what else is in the file stays.

use crate::{client::Client, config, error::Error};
use serde_yaml_ng::{Mapping, Value};
use std::path::{Path, PathBuf};

/// Lists of a kubeconfig whose entries have names.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Merges `content` into `file`, else into the first of `KUBECONFIG`, else into `~/.kube/config`.
pub(crate) fn merge(client: &Client, content: &str, file: Option<PathBuf>) -> Result<(), Error> {
    let file = match file.or_else(config::first_kubeconfig) {
        Some(file) => file,
        None => config::home()?.join(".kube/config"),
    };
    let mut new: Value = serde_yaml_ng::from_str(content).map_err(Error::io("read the cluster's kubeconfig"))?;
    set_plugin(&mut new, client)?;
    let old = match std::fs::read_to_string(&file) {
        Ok(text) => serde_yaml_ng::from_str(&text)
            .map_err(|error| Error::Failed(format!("{} is no kubeconfig: {error}", file.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(Error::io(format!("read {}", file.display()))(error)),
    };
    let context = new["current-context"].as_str().unwrap_or_default().to_owned();
    let merged = merged(old, new);
    let text = serde_yaml_ng::to_string(&merged).map_err(Error::io("write a kubeconfig"))?;
    replace(&file, &text).map_err(Error::io(format!("write {}", file.display())))?;
    eprintln!("hako: context {context:?} is in {} and current", file.display());
    Ok(())
}

/// The token plugin: this very command with this very profile, wherever kubectl is called from.
fn set_plugin(config: &mut Value, client: &Client) -> Result<(), Error> {
    let command = std::env::current_exe().map_err(Error::io("find this command"))?;
    let file = std::path::absolute(&client.profile.file).map_err(Error::io("find the configuration"))?;
    let Some(users) = config["users"].as_sequence_mut() else { return Ok(()) };
    for user in users {
        let exec = &mut user["user"]["exec"];
        exec["command"] = command.display().to_string().into();
        let variable = |name: &str, value: &str| {
            let pair = [("name".into(), name.into()), ("value".into(), value.into())];
            Value::Mapping(Mapping::from_iter(pair))
        };
        exec["env"] = Value::Sequence(vec![
            variable("HAKO_PROFILE", &client.profile.name),
            variable("HAKO_CONFIG", &file.display().to_string()),
        ]);
    }
    Ok(())
}

/// `old` with the entries of `new`; those of the same name are replaced.
fn merged(old: Value, new: Value) -> Value {
    let mut all = match old {
        Value::Mapping(old) => Value::Mapping(old),
        _ => Value::Mapping(Mapping::new()),
    };
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")] {
        all[key] = value.into();
    }
    for list in LISTS {
        let mut entries = all[list].as_sequence().cloned().unwrap_or_default();
        for entry in new[list].as_sequence().into_iter().flatten() {
            entries.retain(|known| known["name"] != entry["name"]);
            entries.push(entry.clone());
        }
        all[list] = Value::Sequence(entries);
    }
    all["current-context"] = new["current-context"].clone();
    all
}

/// Writes beside the file and renames: a reader sees the old or the new text, and nobody else may read it.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    // A link is followed, so that it stays one.
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let temporary = target.with_extension(format!("new-{}", std::process::id()));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&temporary, &target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(config: &Value, list: &str) -> Vec<String> {
        let entries = config[list].as_sequence().unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    fn config(name: &str, server: &str) -> Value {
        serde_yaml_ng::from_str(&format!(
            "clusters: [{{name: {name}, cluster: {{server: {server}}}}}]\nusers: []\ncontexts: [{{name: {name}}}]\ncurrent-context: {name}\n"
        ))
        .unwrap()
    }

    #[test]
    fn other_clusters_stay_and_the_same_one_is_replaced() {
        let first = merged(Value::Null, config("a", "one"));
        let both = merged(first, config("b", "two"));
        let again = merged(both, config("a", "three"));
        assert_eq!(names(&again, "clusters"), ["b", "a"]);
        assert_eq!(again["clusters"][1]["cluster"]["server"], "three");
        assert_eq!(again["current-context"], "a");
    }

    #[test]
    fn preferences_of_the_old_file_stay() {
        let old: Value = serde_yaml_ng::from_str("preferences: {colors: true}\n").unwrap();
        assert_eq!(merged(old, config("a", "x"))["preferences"]["colors"], true);
    }
}
