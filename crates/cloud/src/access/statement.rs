//! The language of policy statements:
//! `Allow {group <name> | group id <ocid> | any-user} to {inspect | read | use | manage} <resource type> in
//! {tenancy | compartment <name>[:<name>...] | compartment id <ocid>}`.

use super::{Resource, Verb};

/// Families, and what stands for everything.
const ALL: &str = "all-resources";
const FAMILIES: [&str; 3] = ["cluster-family", "compute-container-family", "virtual-network-family"];

/// Who is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Every user of the tenancy.
    AnyUser,
    /// Members of any of these groups, by name (in lower case) or OCID.
    Groups(Vec<GroupRef>),
}

/// A group in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupRef {
    /// By name, in lower case: names of groups differ by more than case.
    Name(String),
    /// By OCID.
    Id(String),
}

/// What may be done something to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everything there is.
    All,
    /// A family, by its word.
    Family(&'static str),
    /// One type.
    One(Resource),
}

impl Target {
    /// True if the target names this resource.
    pub(crate) fn covers(&self, resource: Resource) -> bool {
        match self {
            Self::All => true,
            Self::Family(family) => resource.family() == Some(family),
            Self::One(one) => *one == resource,
        }
    }
}

/// Where it may be done: there and in all compartments below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// The whole tenancy.
    Tenancy,
    /// A compartment by its path from the policy's own compartment, in lower case.
    Path(Vec<String>),
    /// A compartment by OCID.
    Id(String),
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) subject: Subject,
    pub(crate) verb: Verb,
    pub(crate) target: Target,
    pub(crate) location: Location,
}

/// Reads a statement.
///
/// # Errors
/// What is wrong with it, in words for its writer.
pub(crate) fn parse(text: &str) -> Result<Statement, String> {
    let words = split(text)?;
    let mut words = Words { words: &words, at: 0 };
    words.expect("allow")?;
    let subject = subject(&mut words)?;
    words.expect("to")?;
    let verb = words.next("a verb")?.to_ascii_lowercase();
    let verb = verb.parse().map_err(|why| format!("the verb {verb:?} {why}"))?;
    let target = target(words.next("a resource type")?)?;
    words.expect("in")?;
    let location = location(&mut words)?;
    match words.peek() {
        None => Ok(Statement { subject, verb, target, location }),
        Some(word) if word.eq_ignore_ascii_case("where") => {
            Err("conditions (where ...) are not offered; write statements without them".into())
        }
        Some(word) => Err(format!("nothing may follow the location, but {word:?} does")),
    }
}

fn subject(words: &mut Words<'_>) -> Result<Subject, String> {
    let kind = words.next("a subject")?.to_ascii_lowercase();
    match kind.as_str() {
        "any-user" => Ok(Subject::AnyUser),
        "group" => {
            let mut groups = Vec::new();
            loop {
                if words.peek().is_some_and(|word| word.eq_ignore_ascii_case("id")) {
                    words.at += 1;
                    groups.push(GroupRef::Id(words.next("the group's OCID")?.to_owned()));
                } else {
                    let name = words.next("a group's name")?;
                    // Identity domains are not kept apart: the default one may be named, as OCI's console does.
                    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
                    groups.push(GroupRef::Name(name.to_lowercase()));
                }
                if words.peek() != Some(",") {
                    return Ok(Subject::Groups(groups));
                }
                words.at += 1;
                if words.peek().is_some_and(|word| word.eq_ignore_ascii_case("group")) {
                    words.at += 1;
                }
            }
        }
        "dynamic-group" | "service" | "any-group" | "user" => {
            Err(format!("the subject {kind:?} is not offered; use group <name>, group id <OCID> or any-user"))
        }
        _ => Err(format!("the subject must be group <name>, group id <OCID> or any-user, not {kind:?}")),
    }
}

fn target(word: &str) -> Result<Target, String> {
    let word = word.to_ascii_lowercase();
    if word == ALL {
        return Ok(Target::All);
    }
    if let Some(family) = FAMILIES.into_iter().find(|family| *family == word) {
        return Ok(Target::Family(family));
    }
    word.parse().map(Target::One).map_err(|_| {
        let known = [&[ALL][..], &FAMILIES, Resource::WORDS].concat().join(", ");
        format!("the resource type {word:?} does not exist; use one of {known}")
    })
}

fn location(words: &mut Words<'_>) -> Result<Location, String> {
    let kind = words.next("tenancy or compartment")?.to_ascii_lowercase();
    match kind.as_str() {
        "tenancy" => Ok(Location::Tenancy),
        "compartment" if words.peek().is_some_and(|word| word.eq_ignore_ascii_case("id")) => {
            words.at += 1;
            Ok(Location::Id(words.next("the compartment's OCID")?.to_owned()))
        }
        "compartment" => {
            let path = words.next("the compartment's name")?;
            let parts: Vec<String> = path.split(':').map(|part| part.trim().to_lowercase()).collect();
            let named = !parts.iter().any(String::is_empty);
            named.then_some(Location::Path(parts)).ok_or_else(|| format!("{path:?} has an empty name in it"))
        }
        _ => Err(format!("the location must be tenancy, compartment <name> or compartment id <OCID>, not {kind:?}")),
    }
}

struct Words<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let word = self.peek().ok_or_else(|| format!("{what} is missing at the end"))?;
        self.at += 1;
        Ok(word)
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next(&format!("{word:?}"))? {
            found if found.eq_ignore_ascii_case(word) => Ok(()),
            found => Err(format!("expected {word:?} where {found:?} is")),
        }
    }
}

/// Splits at blanks and commas; what is in quotation marks stays together, and joins with what touches it.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, ',') => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(",".to_owned());
            }
            (None, c) if c.is_whitespace() => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (None, c) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    if quote.is_some() { Err("a quotation mark is not closed".into()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read() {
        let statement = parse("Allow group Admins, 'Default'/'Ops Team' to manage all-resources in tenancy").unwrap();
        assert_eq!(
            statement.subject,
            Subject::Groups(vec![GroupRef::Name("admins".into()), GroupRef::Name("ops team".into())])
        );
        assert_eq!((statement.verb, statement.target), (Verb::Manage, Target::All));
        assert_eq!(statement.location, Location::Tenancy);
        let statement = parse("ALLOW any-user TO inspect cluster-family IN COMPARTMENT Dev:Team-A").unwrap();
        assert_eq!(statement.subject, Subject::AnyUser);
        assert_eq!(statement.location, Location::Path(vec!["dev".into(), "team-a".into()]));
        assert!(statement.target.covers(Resource::VirtualNodePools) && !statement.target.covers(Resource::Vcns));
        let statement =
            parse("allow group id ocid1.group.x to use vcns in compartment id ocid1.compartment.y").unwrap();
        assert_eq!(statement.subject, Subject::Groups(vec![GroupRef::Id("ocid1.group.x".into())]));
        assert_eq!(statement.location, Location::Id("ocid1.compartment.y".into()));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expect) in [
            ("", "\"allow\" is missing"),
            ("Deny group A to read vcns in tenancy", "expected \"allow\""),
            ("Allow user A to read vcns in tenancy", "not offered"),
            ("Allow group A to see vcns in tenancy", "the verb \"see\" must be one of inspect"),
            ("Allow group A to read cars in tenancy", "\"cars\" does not exist"),
            ("Allow group A to read vcns in region", "not \"region\""),
            ("Allow group A to read vcns in compartment", "name is missing"),
            ("Allow group A to read vcns in compartment a::b", "empty name"),
            ("Allow group A to read vcns in tenancy where x = 'y'", "conditions"),
            ("Allow group A to read vcns in tenancy now", "\"now\""),
            ("Allow group 'A to read vcns in tenancy", "not closed"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(expect), "{text}: {why}");
        }
    }

    #[test]
    fn verbs_include_the_weaker_ones() {
        let all = [Verb::Inspect, Verb::Read, Verb::Use, Verb::Manage];
        for (i, strong) in all.iter().enumerate() {
            for (j, weak) in all.iter().enumerate() {
                assert_eq!(strong.includes(*weak), i >= j);
            }
        }
    }
}
