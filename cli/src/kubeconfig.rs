//! Merges a cluster's access into a kubeconfig file; what else is in the file stays.

use crate::{client::Client, cluster, config, error::Error};
use serde_yaml_ng::{Mapping, Value};
use std::path::{Path, PathBuf};

/// Lists of a kubeconfig whose entries have names.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Merges `content` into `file`, else into the first of `KUBECONFIG`, else into `~/.kube/config`.
pub(crate) async fn merge(client: &Client, content: &str, file: Option<PathBuf>) -> Result<(), Error> {
    let file = match file.or_else(config::first_kubeconfig) {
        Some(file) => file,
        None => config::home()?.join(".kube/config"),
    };
    let mut new: Value = serde_yaml_ng::from_str(content).map_err(Error::io("read the cluster's kubeconfig"))?;
    set_plugin(&mut new, client)?;
    let mut old = match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text).map_err(|why| {
            let file = file.display();
            Error::Failed(format!("{file} is no kubeconfig: {why}; it is left as it is: --file names another one"))
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(Error::io(format!("read {}", file.display()))(error)),
    };
    make_way(client, &mut old, &mut new).await?;
    let context = new["current-context"].as_str().unwrap_or_default().to_owned();
    let merged = merged(old, new);
    let text = serde_yaml_ng::to_string(&merged).map_err(Error::io("write a kubeconfig"))?;
    replace(&file, &text).map_err(Error::io(format!("write {}", file.display())))?;
    eprintln!("hako: context {context:?} is in {} and current", file.display());
    Ok(())
}

/// Reads a kubeconfig, or nothing; refuses what would be lost by writing it as one.
fn parse(text: &str) -> Result<Value, String> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    if value.is_null() {
        return Ok(value);
    }
    if !value.is_mapping() {
        return Err("it is not a mapping".into());
    }
    match value["kind"].as_str() {
        None | Some("Config") => {}
        Some(kind) => return Err(format!("its kind is {kind:?}")),
    }
    let wrong = LISTS.iter().find(|list| !value[**list].is_null() && !value[**list].is_sequence());
    wrong.map_or(Ok(value), |list| Err(format!("its {list} are no list")))
}

/// Looks whether another cluster's context has the new one's name. If that cluster is gone, so are its entries; else the
/// new context gets a name of its own.
async fn make_way(client: &Client, old: &mut Value, new: &mut Value) -> Result<(), Error> {
    let Some(server) = rival(old, new) else { return Ok(()) };
    let ours = server.strip_prefix(&format!("{}/clusters/", client.profile.endpoint));
    let gone = match ours {
        Some(id) => cluster::present(client, id).await.is_ok_and(|found| found.is_none()),
        None => false,
    };
    if gone {
        forget(old, &server);
    } else {
        let name = new["current-context"].as_str().unwrap_or_default().to_owned();
        let short = new["clusters"][0]["name"].as_str().unwrap_or_default().trim_start_matches("cluster-").to_owned();
        let fresh = format!("{name}-{short}");
        eprintln!("hako: context {name:?} is another cluster's and stays; this one's is {fresh:?}");
        new["contexts"][0]["name"] = fresh.clone().into();
        new["current-context"] = fresh.into();
    }
    Ok(())
}

/// The server of another cluster whose context has the name of the new context.
fn rival(old: &Value, new: &Value) -> Option<String> {
    let context = named(old, "contexts", &new["current-context"])?;
    let cluster = &context["context"]["cluster"];
    if *cluster == new["clusters"][0]["name"] {
        return None;
    }
    let server = named(old, "clusters", cluster).and_then(|cluster| cluster["cluster"]["server"].as_str());
    Some(server.unwrap_or_default().to_owned())
}

fn named<'a>(config: &'a Value, list: &str, name: &Value) -> Option<&'a Value> {
    config[list].as_sequence()?.iter().find(|entry| entry["name"] == *name)
}

/// Drops a cluster, the contexts that lead to it, and the users of those alone.
fn forget(config: &mut Value, server: &str) {
    let drop = |config: &mut Value, list: &str, names: &[Value]| {
        if let Some(entries) = config[list].as_sequence_mut() {
            entries.retain(|entry| !names.contains(&entry["name"]));
        }
    };
    let list = |config: &Value, list: &str| config[list].as_sequence().cloned().unwrap_or_default();
    let name = |entry: &Value| entry["name"].clone();
    let clusters: Vec<Value> =
        list(config, "clusters").iter().filter(|entry| entry["cluster"]["server"] == server).map(name).collect();
    let (going, staying): (Vec<Value>, Vec<Value>) =
        list(config, "contexts").into_iter().partition(|entry| clusters.contains(&entry["context"]["cluster"]));
    let user = |entry: &Value| entry["context"]["user"].clone();
    let kept: Vec<Value> = staying.iter().map(user).collect();
    let users: Vec<Value> = going.iter().map(user).filter(|user| !kept.contains(user)).collect();
    drop(config, "clusters", &clusters);
    drop(config, "contexts", &going.iter().map(name).collect::<Vec<_>>());
    drop(config, "users", &users);
}

/// The token plugin: this very command with this very profile, wherever kubectl is called from.
fn set_plugin(config: &mut Value, client: &Client) -> Result<(), Error> {
    let command = std::env::current_exe().map_err(Error::io("find this command"))?;
    let Some(users) = config["users"].as_sequence_mut() else { return Ok(()) };
    for user in users {
        let exec = &mut user["user"]["exec"];
        exec["command"] = command.display().to_string().into();
        let variable = |name: &str, value: &str| {
            let pair = [("name".into(), name.into()), ("value".into(), value.into())];
            Value::Mapping(Mapping::from_iter(pair))
        };
        let mut variables = vec![
            variable("HAKO_PROFILE", &client.profile.name),
            // A file in OCI's form does not say it.
            variable("HAKO_ENDPOINT", &client.profile.endpoint),
        ];
        if let Some(file) = &client.profile.file {
            let file = std::path::absolute(file).map_err(Error::io("find the configuration"))?;
            variables.push(variable("HAKO_CONFIG", &file.display().to_string()));
        }
        exec["env"] = Value::Sequence(variables);
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
    fn what_is_no_kubeconfig_is_not_overwritten() {
        for bad in ["hello", "[1]", "clusters: 5", "kind: Pod", "a: ["] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in ["", "{}", "clusters: null", "kind: Config\nclusters: []"] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    fn whole(name: &str, id: &str) -> Value {
        serde_yaml_ng::from_str(&format!(
            "clusters: [{{name: cluster-{id}, cluster: {{server: 'https://gw/clusters/{id}'}}}}]\n\
             users: [{{name: user-{id}}}]\n\
             contexts: [{{name: {name}, context: {{cluster: cluster-{id}, user: user-{id}}}}}]\n\
             current-context: {name}\n"
        ))
        .unwrap()
    }

    #[test]
    fn another_clusters_context_of_the_same_name_is_seen() {
        let old = merged(merged(Value::Null, whole("demo", "a")), whole("other", "b"));
        assert_eq!(rival(&old, &whole("demo", "a")), None);
        assert_eq!(rival(&old, &whole("new", "c")), None);
        assert_eq!(rival(&old, &whole("demo", "c")), Some("https://gw/clusters/a".into()));
    }

    #[test]
    fn a_gone_cluster_takes_its_entries_along_and_no_others() {
        let mut config = merged(merged(Value::Null, whole("demo", "a")), whole("other", "b"));
        forget(&mut config, "https://gw/clusters/a");
        for (list, expect) in [("clusters", "cluster-b"), ("users", "user-b"), ("contexts", "other")] {
            assert_eq!(names(&config, list), [expect]);
        }
    }

    #[test]
    fn preferences_of_the_old_file_stay() {
        let old: Value = serde_yaml_ng::from_str("preferences: {colors: true}\n").unwrap();
        assert_eq!(merged(old, config("a", "x"))["preferences"]["colors"], true);
    }
}
