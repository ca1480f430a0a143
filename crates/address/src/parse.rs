//! Parser for addresses and prefixes written by users.
//!
//! Text that different parsers read differently is rejected, because a spelling mistake must not select other
//! addresses: leading zeros (octal for some parsers), zones, IPv4-mapped IPv6, blanks, signs. Host bits are
//! unambiguous; they are accepted and flagged, and the caller decides whether to warn.

use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::{Family, Prefix};

/// A parsed address or prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The canonical block.
    pub prefix: Prefix,
    /// True if `address` has bits set beyond the prefix length, so that it is not the first address of the block.
    pub host_bits: bool,
    /// The address as written, as a number.
    pub address: u128,
}

/// Parses CIDR text, `address/length`. Host bits are accepted and flagged; the prefix is canonical.
///
/// # Errors
/// If the text is not exactly one address and one length in strict spelling.
pub fn parse_cidr(text: &str) -> Result<Parsed, ParseError> {
    match parse_address_or_cidr(text)? {
        (parsed, true) => Ok(parsed),
        (_, false) => Err(ParseError::NoLength),
    }
}

/// Parses an address or CIDR text; an address without a length is a block of one address. The flag is true if the text
/// has a length.
///
/// # Errors
/// If the text is neither, in strict spelling.
pub fn parse_address_or_cidr(text: &str) -> Result<(Parsed, bool), ParseError> {
    let (address_text, length_text) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let (family, address) = parse_address(address_text)?;
    let length = match length_text {
        Some(length) => parse_length(family, length)?,
        None => family.bits(),
    };
    let prefix = Prefix::truncate(family, address, length);
    let parsed = Parsed { prefix, host_bits: prefix.first() != address, address };
    Ok((parsed, length_text.is_some()))
}

/// Parses canonical CIDR text: host bits are an error.
impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Prefix, ParseError> {
        let parsed = parse_cidr(text)?;
        if parsed.host_bits {
            return Err(ParseError::HostBits { network: parsed.prefix });
        }
        Ok(parsed.prefix)
    }
}

/// The reason why a text is not an address or a prefix. The message says what is wrong and how to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// No text before the length, or no text at all.
    NoAddress,
    /// Neither four decimal octets nor IPv6 groups.
    BadAddress,
    /// An IPv4 octet such as `010`, which some parsers read as octal.
    LeadingZero,
    /// An IPv6 zone such as `%eth0`, which names a link.
    Zone,
    /// An IPv4-mapped IPv6 address such as `::ffff:10.0.0.1`, in dotted or hexadecimal form.
    Ipv4Mapped {
        /// The mapped IPv4 address.
        inner: Ipv4Addr,
    },
    /// No `/length`, but one is required.
    NoLength,
    /// The length is not a plain decimal number.
    BadLength,
    /// The length exceeds 32 (IPv4) or 128 (IPv6).
    LengthTooLong {
        /// The family of the address.
        family: Family,
    },
    /// The address has bits set beyond the length.
    HostBits {
        /// The block that contains the address.
        network: Prefix,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::NoAddress => f.write_str("there is no address; write one such as 10.0.0.0 or 2001:db8::"),
            ParseError::BadAddress => f.write_str(
                "not an IP address; write four decimal octets such as 10.0.0.0, or IPv6 groups \
                 such as 2001:db8::, without blanks or signs",
            ),
            ParseError::LeadingZero => f.write_str("an IPv4 octet has a leading zero; write 10, not 010"),
            ParseError::Zone => f.write_str("an address here has no zone; leave out the % and what follows it"),
            ParseError::Ipv4Mapped { inner } => {
                write!(f, "an IPv4-mapped IPv6 address; write it as IPv4, {inner}")
            }
            ParseError::NoLength => f.write_str("there is no prefix length; write one after a slash, as in 10.0.0.0/8"),
            ParseError::BadLength => f.write_str(
                "the prefix length is not a plain decimal number; write one without signs, blanks \
                 or leading zeros, as in 10.0.0.0/8",
            ),
            ParseError::LengthTooLong { family } => {
                write!(f, "the prefix length is too long for {family}; write 0 to {}", family.bits())
            }
            ParseError::HostBits { network } => {
                write!(f, "the address has bits set beyond the prefix length; write {network}")
            }
        }
    }
}

impl Error for ParseError {}

/// The family is IPv6 if the text has a colon.
fn parse_address(text: &str) -> Result<(Family, u128), ParseError> {
    if text.is_empty() {
        return Err(ParseError::NoAddress);
    }
    if text.contains(':') { Ok((Family::V6, parse_ipv6(text)?)) } else { Ok((Family::V4, parse_ipv4(text)?)) }
}

fn parse_ipv4(text: &str) -> Result<u128, ParseError> {
    let address: Result<Ipv4Addr, _> = text.parse();
    match address {
        Ok(address) => Ok(address.to_bits().into()),
        Err(_) if has_leading_zero(text) => Err(ParseError::LeadingZero),
        Err(_) => Err(ParseError::BadAddress),
    }
}

/// True if the text would be an IPv4 address without leading zeros.
fn has_leading_zero(text: &str) -> bool {
    let mut octets = 0_u8;
    let all_numbers = text.split('.').all(|octet| {
        octets = octets.saturating_add(1);
        // `u8::from_str` also accepts a sign.
        octet.bytes().all(|byte| byte.is_ascii_digit()) && octet.parse::<u8>().is_ok()
    });
    all_numbers && octets == 4
}

fn parse_ipv6(text: &str) -> Result<u128, ParseError> {
    if text.contains('%') {
        return Err(ParseError::Zone);
    }
    let address: Ipv6Addr = text.parse().map_err(|_| ParseError::BadAddress)?;
    match address.to_ipv4_mapped() {
        Some(inner) => Err(ParseError::Ipv4Mapped { inner }),
        None => Ok(address.to_bits()),
    }
}

fn parse_length(family: Family, text: &str) -> Result<u8, ParseError> {
    let plain = match text.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return Err(ParseError::BadLength);
    }
    // A number that does not fit in a `u8` is also too long.
    match text.parse() {
        Ok(length) if length <= family.bits() => Ok(length),
        _ => Err(ParseError::LengthTooLong { family }),
    }
}
