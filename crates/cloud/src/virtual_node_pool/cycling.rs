//! How many nodes of a pool are replaced at a time. Source of names, defaults and ranges: `VirtualNodePoolCyclingDetails`.

use super::{reconcile::Steps, wire::CyclingDetails};
use crate::{Error, error::invalid};

/// Nodes beyond the pool's size, if nothing is said.
const DEFAULT_SURGE: Amount = Amount::Nodes(1);
/// Nodes that may be missing, if nothing is said.
const DEFAULT_UNAVAILABLE: Amount = Amount::Nodes(0);

/// A number of nodes, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Nodes(usize),
    Percent(usize),
}

impl Amount {
    fn parse(field: &str, text: &str) -> Result<Self, Error> {
        let amount = match text.strip_suffix('%') {
            Some(number) => number.parse().ok().filter(|number| *number <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Nodes),
        };
        let wrong = || {
            let message = "must be a number from 0 to the pool's size, or from 0% to 100%";
            invalid(format!("virtualNodePoolCyclingDetails.{field}: {text:?} {message}"))
        };
        amount.ok_or_else(wrong)
    }

    /// Nodes of a pool of `size`; parts of nodes are rounded up or down.
    fn of(self, size: usize, up: bool) -> usize {
        match self {
            Self::Nodes(nodes) => nodes.min(size),
            Self::Percent(percent) if up => (size * percent).div_ceil(100),
            Self::Percent(percent) => size * percent / 100,
        }
    }
}

fn amounts(details: &CyclingDetails) -> Result<(Amount, Amount), Error> {
    let read = |field: &str, text: &Option<String>, default: Amount| match text {
        Some(text) => Amount::parse(field, text),
        None => Ok(default),
    };
    let surge = read("maximumSurge", &details.maximum_surge, DEFAULT_SURGE)?;
    Ok((surge, read("maximumUnavailable", &details.maximum_unavailable, DEFAULT_UNAVAILABLE)?))
}

/// Refuses details that say nothing sensible of a pool of `size`.
pub(super) fn check(details: Option<&CyclingDetails>, size: u32) -> Result<(), Error> {
    let Some(details) = details else { return Ok(()) };
    let (surge, unavailable) = amounts(details)?;
    for (field, text, amount) in [
        ("maximumSurge", &details.maximum_surge, surge),
        ("maximumUnavailable", &details.maximum_unavailable, unavailable),
    ] {
        if text.is_some() && matches!(amount, Amount::Nodes(nodes) if nodes > size as usize) {
            return Err(invalid(format!("virtualNodePoolCyclingDetails.{field} is more than the pool's size, {size}")));
        }
    }
    let none = |amount| matches!(amount, Amount::Nodes(0) | Amount::Percent(0));
    if none(surge) && none(unavailable) {
        let message = "virtualNodePoolCyclingDetails: maximumSurge and maximumUnavailable are both 0: no node could go";
        return Err(invalid(message.to_owned()));
    }
    Ok(())
}

/// The steps in which a pool's nodes are replaced; `None` if they are not.
pub(super) fn steps(details: Option<&CyclingDetails>, size: u32) -> Option<Steps> {
    let details = details.filter(|details| details.is_virtual_node_cycling_enabled == Some(true))?;
    let (surge, unavailable) = amounts(details).ok()?;
    let (surge, unavailable) = (surge.of(size as usize, true), unavailable.of(size as usize, false));
    // Source: Kubernetes' rolling update: where rounding leaves nothing, one at a time.
    let surge = if surge == 0 && unavailable == 0 { 1 } else { surge };
    Some(Steps { surge, unavailable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(surge: &str, unavailable: &str) -> CyclingDetails {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        CyclingDetails {
            maximum_surge: text(surge),
            maximum_unavailable: text(unavailable),
            is_virtual_node_cycling_enabled: Some(true),
        }
    }

    #[test]
    fn amounts_are_numbers_or_per_cent() {
        for (surge, unavailable, size, expect) in [
            ("", "", 5, (1, 0)),
            ("2", "1", 5, (2, 1)),
            ("25%", "25%", 5, (2, 1)),
            ("0", "10%", 5, (1, 0)),
            ("100%", "100%", 3, (3, 3)),
            ("0", "3", 5, (0, 3)),
            ("", "", 0, (1, 0)),
        ] {
            let steps = steps(Some(&details(surge, unavailable)), size).unwrap();
            assert_eq!((steps.surge, steps.unavailable), expect, "{surge} {unavailable} of {size}");
            assert!(check(Some(&details(surge, unavailable)), size).is_ok());
        }
        let off = CyclingDetails { is_virtual_node_cycling_enabled: None, ..details("1", "0") };
        assert_eq!((steps(Some(&off), 5), steps(None, 5)), (None, None));
    }

    #[test]
    fn nonsense_is_refused() {
        for (surge, unavailable) in [("x", ""), ("-1", ""), ("101%", ""), ("6", ""), ("", "6"), ("0", "0"), ("0%", "")]
        {
            assert!(check(Some(&details(surge, unavailable)), 5).is_err(), "{surge} {unavailable}");
        }
    }
}
