//! What requests are alike by, for Services that hash it.

use std::net::IpAddr;

use super::forwarded::Request;
use super::h1::Name;
use crate::balance::hash_of;
use crate::snapshot::{Algorithm, Balancing, HashKey};

/// The hash of a request's key; `None` if the Service does not hash, or the request has no key.
pub(super) fn of<'a, F>(
    balancing: &Balancing,
    request: &Request<'a, F>,
    client: IpAddr,
) -> Option<u64>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let Algorithm::Maglev(key) = &balancing.algorithm else { return None };
    match key {
        HashKey::Source => Some(match client.to_canonical() {
            IpAddr::V4(ip) => hash_of(&ip.octets()),
            IpAddr::V6(ip) => hash_of(&ip.octets()),
        }),
        HashKey::Header(wanted) => {
            let mut fields = request.fields.clone();
            let found = fields.find(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            found.map(|(_, _, value)| hash_of(value.trim_ascii()))
        }
        HashKey::Cookie(wanted) => {
            let cookies = request.fields.clone().filter(|(known, _, _)| *known == Name::Cookie);
            let mut crumbs = cookies.flat_map(|(_, _, value)| value.split(|byte| *byte == b';'));
            crumbs.find_map(|crumb| {
                let rest = crumb.trim_ascii().strip_prefix(wanted.as_bytes())?;
                rest.strip_prefix(b"=").map(hash_of)
            })
        }
    }
}
