//! What is printed: figures as they come, and at the end one table against the references.

use crate::process;

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Nothing is promised.
    None,
}

/// One figure to be compared. Source of references and targets: section 5 of the design document.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: &'static str,
    /// How much it is.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What the others reach, and who they are.
    pub(crate) reference: Option<(f64, &'static str)>,
    /// What it must reach.
    pub(crate) target: Target,
}

/// kube-apiserver 1.36 with etcd 3.6 on such a machine.
pub(crate) const APISERVER: &str = "kube-apiserver + etcd";

impl Figure {
    /// A figure beside kube-apiserver's.
    pub(crate) fn beside_apiserver(
        what: &'static str,
        value: f64,
        unit: &'static str,
        reference: f64,
        target: Target,
    ) -> Self {
        Self { what, value, unit, reference: Some((reference, APISERVER)), target }
    }
}

/// The figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<[String; 6]>,
}

impl Report {
    /// Begins with a benchmark.
    pub(crate) fn begin(&mut self, name: &str) {
        println!("\n== {name} ({})", process::machine());
    }

    /// Prints a remark.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        println!("   {}", text.as_ref());
    }

    /// Prints a figure with its ratio to the reference, and keeps it for the table.
    pub(crate) fn compare(&mut self, figure: &Figure) {
        let Figure { what, value, unit, reference, target } = figure;
        let shown = |number: f64| format!("{} {unit}", rounded(number));
        let (reference, ratio) = match reference {
            Some((other, who)) => (format!("{} ({who})", shown(*other)), format!("{}x", rounded(value / other))),
            None => ("-".into(), "-".into()),
        };
        let (wanted, verdict) = match target {
            Target::AtLeast(least) => (format!(">= {}", shown(*least)), verdict(value >= least)),
            Target::AtMost(most) => (format!("<= {}", shown(*most)), verdict(value <= most)),
            Target::None => ("-".into(), "-"),
        };
        let value = shown(*value);
        println!("   {what}: {value} | reference {reference} | ratio {ratio} | target {wanted} | {verdict}");
        self.rows.push([(*what).into(), value, reference, ratio, wanted, verdict.into()]);
    }

    /// Prints all figures as a Markdown table.
    pub(crate) fn table(&self) {
        println!("\n{}\n", process::machine());
        println!("| what | measured | reference | ratio | target | |\n| --- | --- | --- | --- | --- | --- |");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

/// A number with three digits that matter.
fn rounded(number: f64) -> String {
    let size = number.abs();
    let digits = match size {
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{number:.digits$}");
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let shown = [12345.6, 123.4, 12.34, 1.234, 0.1234, 0.0].map(rounded);
        assert_eq!(shown, ["12,346", "123", "12.3", "1.23", "0.123", "0.000"]);
        assert_eq!(rounded(-123.0), "-123");
    }
}
