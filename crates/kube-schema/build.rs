//! Collects the sentences about types and fields from k8s-openapi's source into one compressed file, for OpenAPI and
//! `kubectl explain`. They are not kept in this repository.

use std::{
    env,
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = source()?;
    let mut files = Vec::new();
    walk(&root.join("src/v1_36"), &mut files)?;
    let mut text = String::new();
    for file in files {
        describe(&fs::read_to_string(file)?, &mut text);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes())?;
    let target = PathBuf::from(env::var("OUT_DIR")?).join("descriptions.gz");
    fs::write(target, encoder.finish()?)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("first_minor.txt"), first_minors(&root)?)?;
    Ok(())
}

/// `definition minor` per line: the first release that has the definition, of those that k8s-openapi has. For a test.
fn first_minors(root: &Path) -> Result<String, Box<dyn Error>> {
    let mut first = std::collections::BTreeMap::new();
    for minor in (33..=36).rev() {
        let mut files = Vec::new();
        walk(&root.join(format!("src/v1_{minor}")), &mut files)?;
        for file in files {
            let text = fs::read_to_string(file)?;
            let line = text.lines().next().and_then(|l| l.strip_prefix("// Generated from definition "));
            first.extend(line.map(|definition| (definition.to_owned(), minor)));
        }
    }
    Ok(first.into_iter().map(|(definition, minor)| format!("{definition} {minor}\n")).collect())
}

/// Folder of the k8s-openapi crate: in cargo's registry, or wherever cargo says (vendored, patched).
fn source() -> Result<PathBuf, Box<dyn Error>> {
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|h| format!("{h}/.cargo")));
    let links = env::vars()
        .find_map(|(name, _)| Some(name.strip_prefix("DEP_K8S_OPENAPI_")?.strip_suffix("_VERSION")?.replace('_', ".")));
    if let (Ok(home), Some(release)) = (home, links) {
        for registry in fs::read_dir(Path::new(&home).join("registry/src")).into_iter().flatten().flatten() {
            let folder = registry.path().join(format!("k8s-openapi-{release}"));
            if folder.is_dir() {
                return Ok(folder);
            }
        }
    }
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let manifest = packages.iter().find(|p| p["name"] == "k8s-openapi").and_then(|p| p["manifest_path"].as_str());
    let manifest = manifest.ok_or("k8s-openapi is not among the dependencies")?;
    Ok(PathBuf::from(manifest).parent().ok_or("a manifest without a folder")?.to_owned())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Appends `=definition\ttext`, then `field\ttext` per field; line breaks as U+2028.
fn describe(source: &str, out: &mut String) {
    let Some(definition) = source.lines().next().and_then(|l| l.strip_prefix("// Generated from definition ")) else {
        return;
    };
    let json: std::collections::HashMap<&str, &str> = source
        .lines()
        .filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix(',')?.split_once("\" => Field::Key_"))
        .map(|(json, rust)| (rust, json))
        .collect();
    let mut sentences: Vec<&str> = Vec::new();
    for line in source.lines() {
        let trimmed = line.trim_start();
        if let Some(sentence) = trimmed.strip_prefix("///") {
            sentences.push(sentence.strip_prefix(' ').unwrap_or(sentence));
        } else if line.starts_with("pub struct") || line.starts_with("pub enum") {
            out.push_str(&format!("={definition}\t{}\n", sentences.join("\u{2028}")));
            sentences.clear();
        } else if line == "}" {
            break;
        } else if let Some((rust, _)) = line.strip_prefix("    pub ").and_then(|l| l.split_once(':')) {
            if let Some(name) = json.get(rust.strip_prefix("r#").unwrap_or(rust)) {
                out.push_str(&format!("{name}\t{}\n", sentences.join("\u{2028}")));
            }
            sentences.clear();
        }
    }
}
