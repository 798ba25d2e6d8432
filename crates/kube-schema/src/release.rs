//! The releases of Kubernetes whose API is served. There is one table of kinds, the newest release's; an older release
//! lacks what came later.

/// A minor release, in its patch release that is offered.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// As `v1.36.0`.
    pub version: &'static str,
    /// As 36 in `v1.36.0`.
    pub minor: u16,
    /// As 0 in `v1.36.0`.
    pub patch: u16,
    /// Place in [`releases`].
    index: usize,
}

/// Oldest first. Source: the three minor releases that upstream maintains at a time.
static RELEASES: [Release; 3] = [
    Release { version: "v1.34.2", minor: 34, patch: 2, index: 0 },
    Release { version: "v1.35.0", minor: 35, patch: 0, index: 1 },
    Release { version: "v1.36.0", minor: 36, patch: 0, index: 2 },
];

/// What is offered, oldest first.
#[must_use]
pub fn releases() -> &'static [Release] {
    &RELEASES
}

/// The newest release.
#[must_use]
pub fn newest() -> &'static Release {
    &RELEASES[RELEASES.len() - 1]
}

/// The release of a version as `v1.36.0`; `None` if it is not offered.
#[must_use]
pub fn release(version: &str) -> Option<&'static Release> {
    RELEASES.iter().find(|release| release.version == version)
}

/// Something made once per release on first use, and kept for the process.
pub(crate) struct PerRelease<T> {
    slots: [std::sync::OnceLock<T>; RELEASES.len()],
    make: fn(&'static Release) -> T,
}

impl<T> PerRelease<T> {
    pub(crate) const fn new(make: fn(&'static Release) -> T) -> Self {
        Self { slots: [const { std::sync::OnceLock::new() }; RELEASES.len()], make }
    }

    pub(crate) fn of(&'static self, release: &'static Release) -> &'static T {
        self.slots[release.index].get_or_init(|| (self.make)(release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_their_numbers_and_ascend_minor_by_minor() {
        for (index, release) in releases().iter().enumerate() {
            assert_eq!(release.version, format!("v1.{}.{}", release.minor, release.patch));
            assert_eq!((release.index, release.minor), (index, releases()[0].minor + u16::try_from(index).unwrap()));
        }
        assert_eq!(release("v1.35.0"), Some(&RELEASES[1]));
        assert_eq!(release("v1.35"), None);
    }
}
