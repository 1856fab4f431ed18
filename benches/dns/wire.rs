//! As much of DNS messages (RFC 1035) as a client needs that knows what it asked for.

/// Types of records.
pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// Response codes.
pub const NO_ERROR: u8 = 0;

/// A query for a name without a trailing dot, as a stub resolver sends it. `edns`: with an OPT
/// record for 1232 bytes.
pub fn query(id: u16, name: &str, query_type: u16, edns: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(id.to_be_bytes());
    // recursion desired; one question
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(query_type.to_be_bytes());
    message.extend([0, 1]);
    if edns {
        // the root, OPT, 1232 bytes, version 0, no options
        message.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    message
}

/// A message, seen from outside.
pub struct Answer<'m> {
    pub id: u16,
    pub rcode: u8,
    /// Number of records in the answer section.
    pub answers: u16,
    bytes: &'m [u8],
}

impl<'m> Answer<'m> {
    /// Reads the head of a response; `None`: it is none.
    pub fn read(bytes: &'m [u8]) -> Option<Self> {
        let number = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let flags = number(2)?;
        (flags & 0x8000 != 0).then_some(())?;
        Some(Self { id: number(0)?, rcode: (flags & 0xf) as u8, answers: number(6)?, bytes })
    }

    /// The data of the only answer, if that is one IPv4 address and nothing stands behind it.
    pub fn address(&self) -> Option<[u8; 4]> {
        (self.answers == 1).then(|| self.bytes.last_chunk().copied()).flatten()
    }
}

/// The response to a query, with its question and no records, from the bytes of that query.
pub fn respond(query: &[u8], rcode: u8) -> Option<Vec<u8>> {
    let end = end_of_question(query)?;
    let mut message = query.get(..end)?.to_vec();
    // a response with recursion available; no records
    message.splice(2..12, [0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0]);
    Some(message)
}

/// Adds an address to a response that has no other records yet.
pub fn add_address(message: &mut Vec<u8>, ttl: u32, address: [u8; 4]) {
    message.splice(6..8, [0, 1]);
    // a pointer to the question
    message.extend([0xc0, 12, 0, 1, 0, 1]);
    message.extend(ttl.to_be_bytes());
    message.extend([0, 4]);
    message.extend(address);
}

/// Says until when there is nothing: the root's start of authority.
pub fn add_soa(message: &mut Vec<u8>, minimum: u32) {
    message.splice(8..10, [0, 1]);
    message.extend([0, 0, 6, 0, 1]);
    message.extend(minimum.to_be_bytes());
    message.extend([0, 22, 0, 0]);
    for number in [1, 7200, 1800, 86_400, minimum] {
        message.extend(number.to_be_bytes());
    }
}

/// What a query asks for.
pub fn query_type(message: &[u8]) -> Option<u16> {
    let end = end_of_question(message)?;
    Some(u16::from_be_bytes(*message.get(end - 4..)?.first_chunk()?))
}

fn end_of_question(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 5).filter(|end| *end <= message.len()),
            length => at += 1 + length,
        }
    }
}
