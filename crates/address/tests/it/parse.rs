//! Parsing: accepted texts with their results, and rejected texts with their messages.

use address::{ParseError, Parsed, Prefix, parse_address_or_cidr, parse_cidr};

/// Formats all fields of a parsed text in one line.
fn shown(parsed: Parsed) -> String {
    let host_bits = if parsed.host_bits { ", host bits" } else { "" };
    format!("{} from {:#x}{host_bits}", parsed.prefix, parsed.address)
}

#[track_caller]
fn check_cidr(text: &str, expected: &str) {
    let result = match parse_cidr(text) {
        Ok(parsed) => shown(parsed),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(result, expected, "parse_cidr({text:?})");
}

#[test]
fn canonical_cidr_is_accepted() {
    for (text, expected) in [
        ("10.0.0.0/8", "10.0.0.0/8 from 0xa000000"),
        ("0.0.0.0/0", "0.0.0.0/0 from 0x0"),
        ("192.0.2.254/31", "192.0.2.254/31 from 0xc00002fe"),
        ("255.255.255.255/32", "255.255.255.255/32 from 0xffffffff"),
        ("::/0", "::/0 from 0x0"),
        ("2001:db8::/32", "2001:db8::/32 from 0x20010db8000000000000000000000000"),
        ("::2/127", "::2/127 from 0x2"),
        ("::1/128", "::1/128 from 0x1"),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 from 0xffffffffffffffffffffffffffffffff",
        ),
    ] {
        check_cidr(text, expected);
    }
}

#[test]
fn ipv6_is_displayed_as_in_rfc_5952() {
    for (text, expected) in [
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:0db8:0000::/48", "2001:db8::/48"),
        ("2001:db8:0:0:1:0:0:0/80", "2001:db8:0:0:1::/80"),
        ("2001:db8:0:1:1:1:1:0/112", "2001:db8:0:1:1:1:1:0/112"),
        ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
    ] {
        let prefix: Prefix = text.parse().expect(text);
        assert_eq!(prefix.to_string(), expected, "{text}");
    }
}

#[test]
fn host_bits_are_flagged_and_cleared() {
    for (text, expected) in [
        ("10.1.2.3/8", "10.0.0.0/8 from 0xa010203, host bits"),
        ("255.255.255.255/0", "0.0.0.0/0 from 0xffffffff, host bits"),
        ("192.0.2.1/31", "192.0.2.0/31 from 0xc0000201, host bits"),
        ("::1/0", "::/0 from 0x1, host bits"),
        ("::1/127", "::/127 from 0x1, host bits"),
    ] {
        check_cidr(text, expected);
    }
}

#[test]
fn parsing_a_prefix_with_host_bits_fails() {
    let error = "10.1.2.3/8".parse::<Prefix>().unwrap_err();
    assert_eq!(error.to_string(), "the address has bits set beyond the prefix length; write 10.0.0.0/8");
    assert!("::1/127".parse::<Prefix>().is_err());
    assert!("10.0.0.0".parse::<Prefix>().is_err(), "a length is needed");
}

#[test]
fn address_without_length_is_a_block_of_one() {
    for (text, expected, had_length) in [
        ("10.0.0.1", "10.0.0.1/32 from 0xa000001", false),
        ("10.0.0.1/32", "10.0.0.1/32 from 0xa000001", true),
        ("10.0.0.1/31", "10.0.0.0/31 from 0xa000001, host bits", true),
        ("0.0.0.0", "0.0.0.0/32 from 0x0", false),
        ("::", "::/128 from 0x0", false),
        ("::1", "::1/128 from 0x1", false),
    ] {
        let (parsed, flag) = parse_address_or_cidr(text).expect(text);
        assert_eq!((shown(parsed).as_str(), flag), (expected, had_length));
    }
    assert_eq!(parse_address_or_cidr(""), Err(ParseError::NoAddress));
    assert_eq!(parse_address_or_cidr("10.0.0"), Err(ParseError::BadAddress));
    assert_eq!(parse_address_or_cidr("10.0.0.0/"), Err(ParseError::BadLength));
}

const BAD_ADDRESS: &str = "error: not an IP address; write four decimal octets such as 10.0.0.0, \
                           or IPv6 groups such as 2001:db8::, without blanks or signs";
const BAD_LENGTH: &str = "error: the prefix length is not a plain decimal number; write one \
                          without signs, blanks or leading zeros, as in 10.0.0.0/8";

#[test]
fn malformed_addresses_are_rejected() {
    for text in [
        "10.0.0/8",
        "10.0.0.0.0/8",
        "10.0.0.256/32",
        "10.0.0./8",
        "10..0.0/8",
        "+10.0.0.0/8",
        "10.+0.0.0/8",
        "-1.0.0.0/8",
        "0x0a.0.0.0/8",
        "167772160/8",
        " 10.0.0.0/8",
        "10.0.0.0 /8",
        "10.0.0.0\n/8",
        "\u{0661}\u{0660}.0.0.0/8",
        "ten/8",
        ":/0",
        ":::/0",
        "1::2::3/128",
        "12345::/16",
        "00001::/16",
        "g::/16",
        "1:2:3:4:5:6:7/128",
        "1:2:3:4:5:6:7:8:9/128",
        "1:2:3:4:5:6:7:8::/128",
        "[::1]/128",
        " ::1/128",
        "::1 /128",
        "::192.0.2.010/128",
    ] {
        check_cidr(text, BAD_ADDRESS);
    }
}

#[test]
fn malformed_lengths_are_rejected() {
    for text in [
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/00",
        "10.0.0.0/+8",
        "10.0.0.0/-8",
        "10.0.0.0/ 8",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0x8",
        "10.0.0.0/\u{0668}",
        "::/064",
    ] {
        check_cidr(text, BAD_LENGTH);
    }
    let no_length = "error: there is no prefix length; write one after a slash, as in 10.0.0.0/8";
    check_cidr("10.0.0.0", no_length);
    check_cidr("::", no_length);
}

#[test]
fn lengths_longer_than_the_family_are_rejected() {
    let ipv4 = "error: the prefix length is too long for IPv4; write 0 to 32";
    let ipv6 = "error: the prefix length is too long for IPv6; write 0 to 128";
    for (text, expected) in [
        ("10.0.0.0/33", ipv4),
        ("10.0.0.0/128", ipv4),
        ("10.0.0.0/264", ipv4),
        ("::/129", ipv6),
        ("::/256", ipv6),
        ("::/99999999999999999999999999999999999999999", ipv6),
    ] {
        check_cidr(text, expected);
    }
}

#[test]
fn ambiguous_spellings_have_specific_errors() {
    let leading_zero = "error: an IPv4 octet has a leading zero; write 10, not 010";
    let zone = "error: an address here has no zone; leave out the % and what follows it";
    let mapped = "error: an IPv4-mapped IPv6 address; write it as IPv4, 10.0.0.1";
    let no_address = "error: there is no address; write one such as 10.0.0.0 or 2001:db8::";
    for (text, expected) in [
        ("010.0.0.0/8", leading_zero),
        ("10.00.0.0/8", leading_zero),
        ("10.0.0.01/32", leading_zero),
        ("fe80::1%eth0/64", zone),
        ("fe80::%1/64", zone),
        ("::ffff:10.0.0.1/128", mapped),
        ("::ffff:a00:1/128", mapped),
        ("0:0:0:0:0:FFFF:0a00:0001/96", mapped),
        ("", no_address),
        ("/8", no_address),
    ] {
        check_cidr(text, expected);
    }
    // The ranges next to the mapped range are ordinary IPv6.
    check_cidr("::fffe:a00:1/128", "::fffe:a00:1/128 from 0xfffe0a000001");
    check_cidr("::1:0:0/96", "::1:0:0/96 from 0x100000000");
}
