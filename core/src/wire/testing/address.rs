//! Addresses that are never tested under load.

use std::net::IpAddr;

use super::OriginError;

/// Refuses addresses that are never tested: link-local ones, among them the metadata services of
/// clouds, and those that name no single machine. Loopback and private ones are for the list of
/// origins to decide.
///
/// # Errors
/// [`OriginError::Address`] with what it is.
pub fn check_address(address: IpAddr) -> Result<(), OriginError> {
    let why = match embedded(address) {
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address (metadata services are)",
        // Alibaba's and Oracle's metadata services.
        IpAddr::V4(v4) if matches!(v4.octets(), [100, 100, 100, 200] | [192, 0, 0, 192]) => {
            "a metadata service"
        }
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "no address of a machine",
        IpAddr::V4(v4) if v4.is_broadcast() || v4.is_multicast() => "no address of one machine",
        IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 => "a link-local address",
        IpAddr::V6(v6) if v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => {
            "a metadata service"
        }
        IpAddr::V6(v6) if v6.is_unspecified() => "no address of a machine",
        IpAddr::V6(v6) if v6.is_multicast() => "no address of one machine",
        _ => return Ok(()),
    };
    Err(OriginError::Address {
        host: address.to_string(),
        why,
    })
}

/// The IPv4 address within an IPv6 one that is only another form of it: mapped, compatible, NAT64,
/// 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let four = |high: u16, low: u16| IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into());
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            four(high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}
