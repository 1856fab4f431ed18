//! An answer of an upstream, for one client.

use super::answer::Answer;
use super::query::{Asked, CHECKING_DISABLED, HEADER, RECURSION_DESIRED, options};
use super::reply::Reply;

/// What of an answer depends on who asks.
#[derive(Clone, Copy, Debug)]
pub(in crate::plane::dns) struct ClientSide {
    pub(in crate::plane::dns) id: u16,
    /// Whether the client speaks EDNS.
    pub(in crate::plane::dns) has_edns: bool,
    /// Bytes that an answer may have.
    pub(in crate::plane::dns) largest: u16,
    /// Turns the order of addresses.
    pub(in crate::plane::dns) rotate: u64,
}

/// Writes the answer into `out`, whose content it replaces: the case of the question is the
/// client's, times to live are what is left of them. Of what is too long, as many answers as there is
/// room for are left, with TC: clients come back over TCP for the rest, or make do (musl before 1.2.4).
pub(in crate::plane::dns) fn render(
    answer: &Answer,
    asked: &Asked,
    client: ClientSide,
    out: &mut Vec<u8>,
) {
    let reply = &*answer.reply;
    out.clear();
    out.extend(&*reply.bytes);
    rotate_addresses(answer, client.rotate, out);
    for at in &reply.ttls {
        let at = usize::from(*at);
        let Some(field) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else { continue };
        *field = answer.left(u32::from_be_bytes(*field)).to_be_bytes();
    }
    spell(out, HEADER, &asked.name);
    for at in &reply.owners {
        spell(out, usize::from(*at), &asked.name);
    }
    let options_length = if client.has_edns { 11 } else { 0 };
    let room = usize::from(client.largest).saturating_sub(options_length);
    let kept = (out.len() > room).then(|| cut(out, reply, room));
    head(out, answer, asked, client, kept);
    if client.has_edns {
        options(out, asked.dnssec_ok);
    }
}

/// Writes a name over the same one in another case, as far as that is not a pointer.
fn spell(out: &mut [u8], mut at: usize, name: &[u8]) {
    let mut labels = name;
    while let Some((length @ 1..=63, rest)) = labels.split_first() {
        let Some((label, below)) = rest.split_at_checked(usize::from(*length)) else { return };
        if out.get(at) != Some(length) {
            return;
        }
        if let Some(spelled) = out.get_mut(at + 1..at + 1 + label.len()) {
            spelled.copy_from_slice(label);
        }
        (at, labels) = (at + 1 + label.len(), below);
    }
}

/// Leaves the answers that there is room for and gives how many that are. Names point backwards only,
/// so that what is left can be read without the rest.
fn cut(out: &mut Vec<u8>, reply: &Reply, room: usize) -> u16 {
    let answers =
        out.get(6..).and_then(<[u8]>::first_chunk).map_or(0, |it| u16::from_be_bytes(*it));
    let (mut kept, mut end) = (0, HEADER + reply.name + 4);
    for ttl_at in reply.ttls.iter().take(answers.into()) {
        let length_at = usize::from(*ttl_at) + 4;
        let length = out.get(length_at..).and_then(<[u8]>::first_chunk);
        let Some(length) = length.map(|it| u16::from_be_bytes(*it)) else { break };
        let next = length_at + 2 + usize::from(length);
        if next > room {
            break;
        }
        (kept, end) = (kept + 1, next);
    }
    out.truncate(end);
    kept
}

/// `kept`: how many answers are left, if not all.
fn head(out: &mut [u8], answer: &Answer, asked: &Asked, client: ClientSide, kept: Option<u16>) {
    let mut flags = RESPONSE | RECURSION_DESIRED | RECURSION_AVAILABLE;
    flags |= u16::from(answer.reply.rcode);
    flags |= if asked.checking_disabled { CHECKING_DISABLED } else { 0 };
    flags |= if kept.is_some() { TRUNCATED } else { 0 };
    let mut set = |at: usize, number: u16| {
        if let Some(field) = out.get_mut(at..at + 2) {
            field.copy_from_slice(&number.to_be_bytes());
        }
    };
    set(0, client.id);
    set(2, flags);
    if let Some(kept) = kept {
        set(6, kept);
        set(8, 0);
    }
    set(10, u16::from(client.has_edns));
}

/// Addresses of one name change places; nothing else of their records differs.
fn rotate_addresses(answer: &Answer, by: u64, out: &mut [u8]) {
    let reply = &*answer.reply;
    let count = reply.addresses.len() as u64;
    let by = by.checked_rem(count).and_then(|by| usize::try_from(by).ok()).unwrap_or_default();
    if by == 0 {
        return;
    }
    let turned = reply.addresses.iter().cycle().skip(by);
    for (to, from) in reply.addresses.iter().zip(turned) {
        let place = |at: u16| usize::from(at)..usize::from(at) + reply.address;
        let (to, from) = (out.get_mut(place(*to)), reply.bytes.get(place(*from)));
        if let (Some(to), Some(from)) = (to, from) {
            to.copy_from_slice(from);
        }
    }
}

const RESPONSE: u16 = 0x8000;
const RECURSION_AVAILABLE: u16 = 0x0080;
const TRUNCATED: u16 = 0x0200;
