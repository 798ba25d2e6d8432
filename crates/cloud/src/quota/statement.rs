//! The language of quota statements: `set <service> quota[s] <name> to <number> in {tenancy | compartment <name or path>}`,
//! `zero <service> quota[s] [<name>] in ...`, `unset <service> quota[s] [<name>] in ...`.
//! Source: Oracle Cloud's documentation, "Quota Policy Syntax"; without conditions.

use super::Limit;

/// What a statement says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// At most so many.
    Most(i64),
    /// No quota here, whatever an earlier statement said.
    Unset,
}

/// Where it holds, with all compartments below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tenancy,
    /// Names from the root down, in lower case.
    Path(Vec<String>),
    /// By OCID.
    Id(String),
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) limits: Vec<Limit>,
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// Reads a statement.
///
/// # Errors
/// What is wrong with it, in words for its writer.
pub(crate) fn parse(text: &str) -> Result<Statement, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let word = |at: usize| lower.get(at).map_or("", String::as_str);
    let (action, service) = (word(0), word(1));
    if !["set", "zero", "unset"].contains(&action) {
        return Err("a statement begins with set, zero or unset".into());
    }
    let of_service: Vec<Limit> = Limit::ALL.into_iter().filter(|limit| limit.service() == service).collect();
    if of_service.is_empty() {
        let mut known: Vec<_> = Limit::ALL.iter().map(|limit| limit.service()).collect();
        known.dedup();
        return Err(format!("the service {service:?} has no quotas; those that have: {}", known.join(", ")));
    }
    if !["quota", "quotas"].contains(&word(2)) {
        return Err(format!("expected \"quota\" where {:?} is", word(2)));
    }
    let (limits, mut at) = match word(3) {
        "in" if action != "set" => (of_service, 3),
        name => match of_service.iter().find(|limit| limit.as_str() == name) {
            Some(limit) => (vec![*limit], 4),
            None => {
                let known: Vec<_> = of_service.iter().map(|limit| limit.as_str()).collect();
                return Err(format!("{service} has no quota {name:?}; it has {}", known.join(", ")));
            }
        },
    };
    let value = match action {
        "zero" => Value::Most(0),
        "unset" => Value::Unset,
        _ => {
            let number = word(at + 1).parse::<u32>().ok().filter(|_| word(at) == "to");
            let number = number.ok_or_else(|| format!("expected \"to <number>\" after {:?}", limits[0].as_str()))?;
            at += 2;
            Value::Most(i64::from(number))
        }
    };
    if word(at) != "in" {
        return Err(format!("expected \"in tenancy\" or \"in compartment <name>\" where {:?} is", word(at)));
    }
    let rest = |from: usize| words.get(from..).map(|rest| rest.join(" ")).unwrap_or_default();
    let place = match (word(at + 1), word(at + 2)) {
        ("tenancy", "") => Place::Tenancy,
        ("compartment", "id") if words.len() == at + 4 => Place::Id(words[at + 3].to_owned()),
        ("compartment", name) if !name.is_empty() && name != "id" => {
            let path = rest(at + 2).to_lowercase();
            if path.contains(" where ") {
                return Err("conditions (where ...) are not offered; write statements without them".into());
            }
            Place::Path(path.split(':').map(|part| part.trim().to_owned()).collect())
        }
        _ => {
            return Err(
                "a statement ends in \"in tenancy\", \"in compartment <name>\" or \"in compartment id <OCID>\"".into(),
            );
        }
    };
    Ok(Statement { limits, value, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read() {
        let statement = parse("Set container-engine quota cluster-count to 10 in compartment Dev:Team A").unwrap();
        assert_eq!((statement.limits, statement.value), (vec![Limit::Clusters], Value::Most(10)));
        assert_eq!(statement.place, Place::Path(vec!["dev".into(), "team a".into()]));
        let statement = parse("zero container-engine quotas in tenancy").unwrap();
        assert_eq!((statement.limits.len(), statement.value), (2, Value::Most(0)));
        let statement = parse("unset vcn quota vcn-count in compartment id ocid1.compartment.x").unwrap();
        assert_eq!((statement.value, statement.place), (Value::Unset, Place::Id("ocid1.compartment.x".into())));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expect) in [
            ("", "begins with"),
            ("set compute quota x to 1 in tenancy", "\"compute\" has no quotas"),
            ("set vcn quota nodes to 1 in tenancy", "no quota \"nodes\""),
            ("set vcn quota vcn-count to many in tenancy", "to <number>"),
            ("set vcn quota vcn-count to 1", "in tenancy"),
            ("set vcn quota vcn-count to 1 in compartment", "ends in"),
            ("set vcn quota vcn-count to 1 in compartment a where b", "conditions"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(expect), "{text}: {why}");
        }
    }
}
