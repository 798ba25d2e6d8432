//! House rules that a few lines can check. Each message names the file, the line and the rule.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::config;

/// Lines that no source file may exceed. Source: style.md, section 2.
const FILE_LINES: usize = 800;
/// Directories with Rust sources of ours.
const ROOTS: &[&str] = &["bench", "cli", "crates", "services", "tests", "xtask"];

/// Checks all rules and lists every breach.
pub(crate) fn check() -> anyhow::Result<()> {
    let workspace = config::workspace();
    let mut files = Vec::new();
    for root in ROOTS {
        sources(&workspace.join(root), &mut files);
    }
    let mut breaches = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        let name = file.strip_prefix(&workspace).unwrap_or(file);
        check_file(name, &text, &mut breaches);
    }
    migrations(&workspace, &mut breaches);
    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    bail!("tidy: {} breaches of docs/STYLE or style.md", breaches.len())
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            let name = entry.file_name();
            if name != "target" && name != "node_modules" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn check_file(name: &Path, text: &str, breaches: &mut Vec<String>) {
    let shown = name.display();
    let generated = text.starts_with("// @generated") || text.starts_with("//! @generated");
    if name.file_name().is_some_and(|n| n == "mod.rs") {
        breaches.push(format!("{shown}: no mod.rs: use foo.rs beside foo/"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES && !generated {
        breaches.push(format!("{shown}: {lines} lines; {FILE_LINES} are the limit"));
    }
    let is_entry = matches!(name.file_name().and_then(|n| n.to_str()), Some("lib.rs" | "main.rs" | "build.rs"));
    if is_entry && !text.trim_start().starts_with("//!") && !generated && !text.contains("@generated") {
        breaches.push(format!("{shown}: begins without a //! line that says what it is"));
    }
    if !generated {
        production_lines(name, text, breaches);
    }
}

/// Rules for code that is not a test's.
fn production_lines(name: &Path, text: &str, breaches: &mut Vec<String>) {
    let path = name.to_string_lossy();
    let is_test = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs");
    let is_bench = path.starts_with("bench/");
    if is_test || is_bench {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // By convention the tests are at the end of the file.
            return;
        }
        let code = line.split("//").next().unwrap_or("");
        let at = format!("{path}:{}", number + 1);
        if line.contains("TODO") && !line.contains("#") && !path.starts_with("xtask/") {
            breaches.push(format!("{at}: a TODO names its issue"));
        }
        let environment = ["std::env::var(", "std::env::var_os(", " env::var(", "(env::var("];
        if environment.iter().any(|e| code.contains(e)) && !reads_environment(&path) {
            breaches.push(format!("{at}: only config.rs reads the environment"));
        }
        if has_sql(code) && !holds_sql(&path) {
            breaches.push(format!("{at}: SQL lives only in store.rs"));
        }
    }
}

/// Where the environment may be read: configuration, programs that are told by it (CNI), and tools for developers.
fn reads_environment(path: &str) -> bool {
    path.ends_with("config.rs")
        || path.ends_with("build.rs")
        || path.contains("/src/bin/")
        || path.starts_with("xtask/")
        || path.starts_with("crates/localcloud/")
        || path.starts_with("crates/testkit/")
}

/// Where SQL may be: stores, and the crates whose job is the database server itself.
fn holds_sql(path: &str) -> bool {
    path.ends_with("store.rs")
        || path.contains("/store/")
        || path.ends_with("sql.rs")
        || ["crates/kube-store/", "crates/postgres/", "crates/testkit/", "crates/localcloud/", "xtask/"]
            .iter()
            .any(|c| path.starts_with(c))
}

fn has_sql(code: &str) -> bool {
    ["sqlx::query(", "sqlx::query_as(", "sqlx::query_scalar(", "sqlx::query!("].iter().any(|call| code.contains(call))
}

/// Migrations are named `<utc-seconds>_<verb>_<what>.sql`, and no two have one number.
fn migrations(workspace: &Path, breaches: &mut Vec<String>) {
    for service in ["control", "billing"] {
        let directory = workspace.join("migrations").join(service);
        let mut numbers = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".sql") {
                continue;
            }
            let number = name.split('_').next().and_then(|n| n.parse::<u64>().ok());
            match number {
                Some(number) if number > 1_500_000_000 && name.split('_').count() >= 3 => {
                    if !numbers.insert(number) {
                        breaches.push(format!("migrations/{service}/{name}: another migration has this number"));
                    }
                }
                _ => breaches.push(format!("migrations/{service}/{name}: name it <utc-seconds>_<verb>_<what>.sql")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expect: &[&str]) {
        let mut breaches = Vec::new();
        check_file(Path::new(name), text, &mut breaches);
        assert_eq!(breaches, expect);
    }

    #[test]
    fn environment_is_read_in_config_only() {
        let text = "//! x\nlet v = std::env::var(\"X\");\n";
        check("crates/a/src/b.rs", text, &["crates/a/src/b.rs:2: only config.rs reads the environment"]);
        check("crates/a/src/config.rs", text, &[]);
    }

    #[test]
    fn sql_is_in_stores_only() {
        let text = "//! x\nsqlx::query(\"select 1\")\n";
        check("crates/a/src/pod.rs", text, &["crates/a/src/pod.rs:2: SQL lives only in store.rs"]);
        check("crates/a/src/pod/store.rs", text, &[]);
    }

    #[test]
    fn tests_may_do_what_code_may_not() {
        check("crates/a/src/pod.rs", "//! x\n#[cfg(test)]\nmod tests { sqlx::query(\"\") }\n", &[]);
    }
}
