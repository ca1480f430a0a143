//! Fuzzes the parsers of addresses and prefixes: they never panic, and accepted text survives a round trip.
//!
//! Run `cargo +nightly fuzz run parse` in the root of the repository.
#![no_main]

use address::{Prefix, parse_address_or_cidr, parse_cidr};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok((parsed, had_length)) = parse_address_or_cidr(text) else {
        assert!(parse_cidr(text).is_err());
        assert!(text.parse::<Prefix>().is_err());
        return;
    };
    let prefix = parsed.prefix;
    assert_eq!(parse_cidr(text).ok(), had_length.then_some(parsed));
    assert_eq!(
        text.parse().ok(),
        (had_length && !parsed.host_bits).then_some(prefix)
    );
    assert!(prefix.first() <= parsed.address && parsed.address <= prefix.last());
    assert_eq!(parsed.host_bits, parsed.address != prefix.first());
    assert_eq!(prefix.to_string().parse(), Ok(prefix));
});
