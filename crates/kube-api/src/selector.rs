//! Label and field selectors.
//! Source: Kubernetes apimachinery, `pkg/labels/selector.go` and `pkg/fields/selector.go`.

use problem::kube::Status;
use std::collections::BTreeMap;

/// Conditions on labels, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads a selector in text form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut lexer = Lexer { text, at: 0 };
        let mut requirements = Vec::new();
        let fail = |why: String| Status::bad_request(format!("unable to parse requirement: {why}"));
        loop {
            match lexer.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Comma if requirements.is_empty() => {
                    return Err(fail("found ',', expected: !, identifier, or 'end of string'".into()));
                }
                Token::Not => match lexer.next() {
                    Token::Word(key) => requirements.push(Requirement { key: checked_key(key)?, test: Test::Absent }),
                    other => return Err(fail(format!("found '{}', expected: identifier", other.show()))),
                },
                Token::Word(key) => {
                    let key = checked_key(key)?;
                    let test = lexer.test().map_err(fail)?;
                    requirements.push(Requirement { key, test });
                }
                other => {
                    return Err(fail(format!("found '{}', expected: !, identifier, or 'end of string'", other.show())));
                }
            }
            match lexer.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Comma => {
                    if matches!(lexer.peek(), Token::End) {
                        return Err(fail("found '', expected: identifier after ','".into()));
                    }
                }
                other => return Err(fail(format!("found '{}', expected: ',' or 'end of string'", other.show()))),
            }
        }
    }

    /// Reads a `metav1.LabelSelector` (`matchLabels`, `matchExpressions`); an absent one selects nothing.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Option<Self> {
        let object = value.as_object()?;
        let mut requirements = Vec::new();
        for (key, wanted) in object.get("matchLabels").and_then(|m| m.as_object()).into_iter().flatten() {
            let wanted = wanted.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement { key: key.clone(), test: Test::In(vec![wanted]) });
        }
        for expression in object.get("matchExpressions").and_then(|m| m.as_array()).into_iter().flatten() {
            let values: Vec<String> = expression["values"]
                .as_array()
                .map(|list| list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default();
            let test = match expression["operator"].as_str()? {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            requirements.push(Requirement { key: expression["key"].as_str()?.to_owned(), test });
        }
        Some(Self(requirements))
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(set) => value.is_some_and(|v| set.iter().any(|s| s == v)),
                Test::NotIn(set) => value.is_none_or(|v| set.iter().all(|s| s != v)),
                Test::Greater(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *bound),
                Test::Less(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *bound),
            }
        })
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn checked_key(key: &str) -> Result<String, Status> {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: char| c.is_ascii_alphanumeric();
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) || !name.starts_with(edge) || !name.ends_with(edge)
    {
        let rule = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        return Err(Status::bad_request(format!("unable to parse requirement: <nil>: Invalid value: {key:?}: {rule}")));
    }
    Ok(key.to_owned())
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Comma,
    Open,
    Close,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    Word(&'a str),
}

impl Token<'_> {
    fn show(&self) -> &str {
        match self {
            Self::End => "",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Not => "!",
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::Word(word) => word,
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn peek(&mut self) -> Token<'a> {
        let at = self.at;
        let token = self.next();
        self.at = at;
        token
    }

    fn next(&mut self) -> Token<'a> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let Some(&first) = bytes.get(self.at) else { return Token::End };
        let second = bytes.get(self.at + 1);
        let (token, length) = match first {
            b',' => (Token::Comma, 1),
            b'(' => (Token::Open, 1),
            b')' => (Token::Close, 1),
            b'=' if second == Some(&b'=') => (Token::Equals, 2),
            b'=' => (Token::Equals, 1),
            b'!' if second == Some(&b'=') => (Token::NotEquals, 2),
            b'!' => (Token::Not, 1),
            b'>' => (Token::Greater, 1),
            b'<' => (Token::Less, 1),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find(|c: char| c.is_ascii_whitespace() || ",()=!<>".contains(c)).unwrap_or(rest.len());
                (Token::Word(&rest[..end]), end)
            }
        };
        self.at += length;
        token
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::Word(word) => {
                self.next();
                Ok(word.to_owned())
            }
            Token::End | Token::Comma => Ok(String::new()),
            other => Err(format!("found '{}', expected: identifier", other.show())),
        }
    }

    fn bound(&mut self) -> Result<i64, String> {
        let text = self.value()?;
        text.parse().map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer, got {text:?}"))
    }

    fn test(&mut self) -> Result<Test, String> {
        match self.peek() {
            Token::End | Token::Comma => Ok(Test::Exists),
            Token::Equals => {
                self.next();
                Ok(Test::In(vec![self.value()?]))
            }
            Token::NotEquals => {
                self.next();
                Ok(Test::NotIn(vec![self.value()?]))
            }
            Token::Greater => {
                self.next();
                Ok(Test::Greater(self.bound()?))
            }
            Token::Less => {
                self.next();
                Ok(Test::Less(self.bound()?))
            }
            Token::Word("in") => {
                self.next();
                Ok(Test::In(self.set()?))
            }
            Token::Word("notin") => {
                self.next();
                Ok(Test::NotIn(self.set()?))
            }
            other => Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.show())),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.show())),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word.to_owned());
                    match self.next() {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.show())),
                    }
                }
                Token::Close => return Ok(values),
                Token::Comma => values.push(String::new()),
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.show())),
            }
        }
    }
}

/// Conditions on selectable fields, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldTest>);

/// One condition of a [`FieldSelector`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTest {
    /// The field's path.
    pub field: String,
    /// `true` for `=`, `false` for `!=`.
    pub equal: bool,
    /// The value compared with.
    pub value: String,
}

impl FieldSelector {
    /// Reads `a=b,c!=d`; `\` escapes `,`, `=` and itself.
    ///
    /// # Errors
    /// 400 if a term has no operator.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut tests = Vec::new();
        for term in split_unescaped(text) {
            let (field, equal, value) = term
                .find("!=")
                .map(|at| (&term[..at], false, &term[at + 2..]))
                .filter(|(field, ..)| !field.contains('='))
                .or_else(|| term.split_once("==").map(|(f, v)| (f, true, v)))
                .or_else(|| term.split_once('=').map(|(f, v)| (f, true, v)))
                .ok_or_else(|| Status::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'")))?;
            tests.push(FieldTest { field: field.trim().to_owned(), equal, value: unescape(value) });
        }
        Ok(Self(tests))
    }

    /// The same conditions on fields of other names.
    #[must_use]
    pub fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        self.0.iter_mut().for_each(|test| test.field = name(&test.field));
        self
    }

    /// The conditions.
    #[must_use]
    pub fn tests(&self) -> &[FieldTest] {
        &self.0
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must be equal to, if the selector says one.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|test| test.equal && test.field == field).map(|test| test.value.as_str())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms.retain(|term| !term.trim().is_empty());
    terms
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, labels: &[(&str, &str)], expect: bool) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(LabelSelector::parse(selector).unwrap().matches(&labels), expect, "{selector}");
    }

    #[test]
    fn label_selectors_select() {
        check("", &[], true);
        check("a=b", &[("a", "b")], true);
        check("a==b,c!=d", &[("a", "b"), ("c", "d")], false);
        check("a in (b, c)", &[("a", "c")], true);
        check("a notin (b,c)", &[], true);
        check("a", &[("a", "")], true);
        check("!a", &[("a", "")], false);
        check("x>3,x<5", &[("x", "4")], true);
        check("a=", &[("a", "")], true);
        check("app.kubernetes.io/name=web,tier in (x)", &[("app.kubernetes.io/name", "web"), ("tier", "x")], true);
    }

    #[test]
    fn broken_label_selectors_are_refused() {
        for bad in ["a in b", "a,,b", "=x", "a in (b", "a b", "-x=1", ",a", "a>b"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors_parse() {
        let selector = FieldSelector::parse(r"metadata.name=a\,b,spec.nodeName!=").unwrap();
        assert_eq!(selector.exact("metadata.name"), Some("a,b"));
        assert!(!selector.tests()[1].equal && selector.tests()[1].value.is_empty());
        assert!(FieldSelector::parse("nothing").is_err());
    }
}
