//! The help texts as files, one for each noun, so that a change of any shows in review.

use crate::args::Args;
use clap::{Command, CommandFactory};

/// The name of each file below `cli/help`, and its text.
#[must_use]
pub fn texts() -> Vec<(String, String)> {
    // The environment of whoever runs this must not show.
    let mut root = Args::command().mut_args(|arg| arg.hide_env_values(true));
    root.build();
    let mut texts = vec![("hako.txt".to_owned(), text_of(&mut root, "hako"))];
    for noun in root.get_subcommands_mut() {
        let mut text = String::new();
        append(noun, &format!("hako {}", noun.get_name().to_owned()), &mut text);
        texts.push((format!("{}.txt", noun.get_name()), text));
    }
    texts
}

/// The help of a command and of all below it.
fn append(command: &mut Command, path: &str, text: &mut String) {
    text.push_str(&text_of(command, path));
    for below in command.get_subcommands_mut() {
        let path = format!("{path} {}", below.get_name());
        append(below, &path, text);
    }
}

fn text_of(command: &mut Command, path: &str) -> String {
    let help = command.render_long_help().to_string();
    let lines: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("$ {path} --help\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, path::Path};

    #[test]
    fn help_texts_are_those_that_were_reviewed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
        for (name, text) in texts() {
            let stored = std::fs::read_to_string(directory.join(&name)).unwrap_or_default();
            assert_eq!(text, stored, "cli/help/{name} is stale: run cargo xtask gen and look at the difference");
        }
        let names: BTreeSet<String> = texts().into_iter().map(|(name, _)| name).collect();
        let stored = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(stored.collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
