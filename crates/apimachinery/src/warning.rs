//! Values of the `Warning` header (RFC 7234, section 5.5), within the limits of kube-apiserver.

use std::collections::HashSet;

use crate::limits::{WARNING_CHARS_MAX, WARNINGS_CHARS_MAX};

/// Returns one header value for each warning, in order, without duplicates and empty texts.
///
/// A value may contain any character except control characters; UTF-8 is sent unescaped.
pub fn headers(warnings: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let texts = warnings.iter().map(String::as_str).filter(|text| !text.is_empty() && seen.insert(*text));
    let mut texts: Vec<&str> = texts.collect();
    if texts.iter().map(|text| text.chars().count()).sum::<usize>() > WARNINGS_CHARS_MAX {
        texts = cut(&texts);
    }
    texts.into_iter().map(header).collect()
}

/// Truncates each text to [`WARNING_CHARS_MAX`], and drops those that exceed the total.
fn cut<'a>(texts: &[&'a str]) -> Vec<&'a str> {
    let mut written = 0;
    let mut kept: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for text in texts {
        if written >= WARNINGS_CHARS_MAX {
            break;
        }
        let end = text.char_indices().nth(WARNING_CHARS_MAX).map_or(text.len(), |(end, _)| end);
        let short = &text[..end];
        // Truncation may have made two texts equal.
        if !seen.insert(short) {
            continue;
        }
        written += short.chars().count();
        kept.push(short);
    }
    kept
}

/// `299 - "text"`: code 299 is "miscellaneous persistent warning", and `-` is an unnamed agent.
fn header(text: &str) -> String {
    let mut value = String::with_capacity(text.len() + 10);
    value.push_str("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => value.extend(['\\', c]),
            // A line break would end the header and start another one.
            c if c.is_control() => value.push(' '),
            c => value.push(c),
        }
    }
    value.push('"');
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        headers(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(of(&[r#"unknown field "spec.foo""#]), [r#"299 - "unknown field \"spec.foo\"""#]);
        assert_eq!(of(&[r"a\b"]), [r#"299 - "a\\b""#]);
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(of(&["a\r\nSet-Cookie: x"]), [r#"299 - "a  Set-Cookie: x""#]);
    }

    #[test]
    fn duplicate_and_empty_warnings_are_dropped() {
        assert_eq!(of(&["b", "", "a", "b"]), [r#"299 - "b""#, r#"299 - "a""#]);
    }

    #[test]
    fn warnings_are_truncated_only_when_too_long_together() {
        let long = "é".repeat(4096);
        assert_eq!(of(&[&long]), [format!("299 - \"{long}\"")]);
        assert_eq!(of(&[&long, "b"]), [format!("299 - \"{}\"", "é".repeat(256)), r#"299 - "b""#.to_owned()]);
    }

    #[test]
    fn total_length_of_warnings_is_bounded() {
        let many: Vec<String> = (0..1000).map(|n| format!("{n:04}{}", "x".repeat(300))).collect();
        assert_eq!(headers(&many).len(), 16);
    }

    proptest! {
        #[test]
        fn warning_values_have_no_control_characters(texts in proptest::collection::vec("(?s).*", 0..5)) {
            for value in headers(&texts) {
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }
}
