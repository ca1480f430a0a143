//! Order of the versions of a group.

use std::cmp::Reverse;

/// Sort key of a version, preferred first: stable, beta, alpha, each with the newest first, then other names in
/// alphabetical order. As `CompareKubeAwareVersionStrings` in Kubernetes.
pub(super) fn preference(version: &str) -> impl Ord + use<> {
    let (stability, major, minor) = parse(version).unwrap_or((Stability::Unknown, 0, 0));
    (stability, Reverse(major), Reverse(minor), version.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Stable,
    Beta,
    Alpha,
    Unknown,
}

/// Parses `v2`, `v2beta1` or `v2alpha1`.
fn parse(version: &str) -> Option<(Stability, u32, u32)> {
    let rest = version.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = (number(&rest[..end])?, &rest[end..]);
    if rest.is_empty() {
        return Some((Stability::Stable, major, 0));
    }
    let beta = rest.strip_prefix("beta").map(|minor| (Stability::Beta, minor));
    let (stability, minor) = beta.or_else(|| rest.strip_prefix("alpha").map(|minor| (Stability::Alpha, minor)))?;
    Some((stability, major, number(minor)?))
}

/// Parses a number without sign and leading zeros.
fn number(digits: &str) -> Option<u32> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_precede_beta_and_alpha_and_newer_older() {
        let preferred = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
            "v",
            "v01",
        ];
        let mut versions = preferred.to_vec();
        versions.reverse();
        versions.sort_by_key(|version| preference(version));
        assert_eq!(versions, preferred);
    }
}
