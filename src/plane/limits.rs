//! Every limit of what is carried, named: no default of a library is relied on. Names of DNS have
//! their own.

use std::time::Duration;

use crate::life::Thresholds;

/// Limits and time-outs. [`Limits::default`] is safe without any option set; `--limit` sets each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients, of all workers: those of HTTP, TLS and TCP. Auto: half of the
    /// descriptors, and one for 256 KiB of memory at most.
    pub connections: Cap,
    /// Connections of HTTP and TLS of one client (IPv6: a /64), of all workers. Auto: an eighth of
    /// all, 32 at least.
    pub connections_per_client: Cap,
    /// Bytes of a request or response head; more is 431.
    pub head_bytes: usize,
    /// Fields of a request or response head, [`MOST_FIELDS`] at most; more is 431.
    pub head_fields: usize,
    /// Bytes of trailers, and of the extensions of all chunks of a body.
    pub trailer_bytes: usize,
    /// Bytes of one field of a request head, name and value; more is 431.
    pub field_bytes: usize,
    /// Bytes of a method; more is 501 (RFC 9112 section 3).
    pub method_bytes: usize,
    /// Bytes of a request target; more is 414.
    pub target_bytes: usize,
    /// From the first byte of a request to the end of its head; longer is 408.
    pub head_time: Duration,
    /// From accept to the end of the TLS handshake; towards endpoints from connect on.
    pub handshake_time: Duration,
    /// How long a client may neither send the body it owes nor take what it is sent.
    pub client_stall: Duration,
    /// Bytes a second that a client has to send of a body that is waited for, and to take of one that
    /// is there, on average; 0: as slowly as it likes.
    pub client_rate: usize,
    /// How long it may be slower.
    pub client_rate_grace: Duration,
    /// Bytes for a client that wait in the system, beyond what it has room for. Measured: with 128 KiB a long
    /// download over loopback costs half as much again, with 1 MiB hardly more than without a bound.
    pub unsent_bytes: u32,
    /// How old a client connection may be to take another request, a tenth more or less; `None`: as
    /// old as it gets.
    pub client_age: Option<Duration>,
    /// How long an endpoint may be silent, before its response and within it; longer is 504.
    pub upstream_stall: Duration,
    /// How long a client connection may wait for its next request.
    pub client_idle: Duration,
    /// How long it may wait once the drain has begun: for a request that is already on its way.
    pub drain_idle: Duration,
    /// How long to try to connect to an endpoint; inside a cluster that takes a round trip.
    pub connect_time: Duration,
    /// How long sent bytes may stay without acknowledgement (TCP_USER_TIMEOUT).
    pub unacknowledged_time: Duration,
    /// How long an unused upstream connection is kept.
    pub upstream_idle: Duration,
    /// Unused connections kept for an endpoint, by one worker.
    pub upstream_idle_connections: usize,
    /// Endpoints tried for one request.
    pub attempts: usize,
    /// Bytes of a request that are kept when they are sent, so that they can be sent again.
    pub retry_bytes: usize,
    /// Endpoints tried for one TCP connection.
    pub tcp_attempts: usize,
    /// Interim responses to one request; an endpoint that sends more never comes to the point.
    pub interim_responses: u32,
    /// Bytes of an authorization server's answer that the client may get: a login page may be long.
    pub auth_answer_bytes: usize,
    /// Copies of requests on their way to mirrors, of one worker; beyond them none are made.
    pub mirrors: usize,
    /// Bytes that a mirror may be behind with one of them; it loses this one then.
    pub mirror_bytes: usize,
    /// Responses that one worker compresses at once, of less than 2 MiB each; beyond them responses
    /// go on as they are.
    pub compressors: usize,
    /// Bytes of what a client is still sending that are read and dropped before a connection is
    /// closed, so that it gets to see the answer.
    pub linger_bytes: usize,
    /// How long to wait for them.
    pub linger_time: Duration,
    /// UDP flows of one worker; 100,000 of them take less than 64 MiB.
    pub udp_flows: usize,
    /// Connections of HTTP/3 on a socket; beyond half of them clients have to show first that they are
    /// where they say (Retry), beyond all of them they are refused.
    pub h3_connections: usize,
    /// Connections of HTTP/3 on a socket that have been announced but not been looked at, each with
    /// 16 KiB.
    pub h3_handshakes: usize,
    /// Bytes that wait to be sent on a TLS connection, not encrypted yet: large bodies go in large
    /// writes.
    pub tls_send_buffer: u32,
    /// Streams of an HTTP/2 connection to an endpoint, if it takes as many; with more requests there
    /// are more connections.
    pub upstream_streams: u32,
    /// Streams of an HTTP/2 connection; of HTTP/3 the same, as of what follows.
    pub h2_streams: u32,
    /// Window of an HTTP/2 stream, in bytes; like those below on both sides.
    pub h2_stream_window: u32,
    /// Window of an HTTP/2 connection, in bytes, where that is more than those of all its streams:
    /// see [`Limits::h2_window`].
    pub h2_connection_window: u32,
    /// Bytes that wait to be sent on an HTTP/2 stream.
    pub h2_send_buffer: usize,
    /// Streams that the peer reset before they were accepted.
    pub h2_pending_resets: usize,
    /// Streams that were reset because of the peer's errors.
    pub h2_error_resets: usize,
    /// Streams of an HTTP/2 connection that may end before their time by the client's doing, at once.
    /// A browser that leaves a page resets all that it still loads: as many as there may be streams.
    pub h2_resets: u32,
    /// How often there may be one more.
    pub h2_reset_interval: Duration,
    /// Frames without a request or a body that an HTTP/2 client may send at once.
    pub h2_control_frames: u32,
    /// How often there may be one more.
    pub h2_control_frame_interval: Duration,
    /// How often an HTTP/2 peer is asked whether it is there.
    pub h2_ping_interval: Duration,
    /// How long it may take to answer.
    pub h2_ping_time: Duration,
    /// Bytes of memory, by which load is shed before they are used up. Auto: what the system allows.
    pub memory: Cap,
    /// From how many percent of it on what is idle is closed, and connections end with their next response.
    pub memory_trim: u32,
    /// From how many percent of it on what is new is refused as well.
    pub memory_shed: u32,
    /// From how many percent of it on what holds most is reset as well.
    pub memory_reset: u32,
}

/// A limit that follows the machine where nobody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// By the machine.
    Auto,
    /// None.
    Off,
    /// So many.
    At(usize),
}

impl Cap {
    /// How many, where the machine would have `auto`.
    pub fn or(self, auto: usize) -> usize {
        match self {
            Self::Auto => auto,
            Self::Off => usize::MAX,
            Self::At(most) => most,
        }
    }

    /// The same as a limit that is said.
    fn said(self, auto: usize) -> Self {
        match self.or(auto) {
            usize::MAX => Self::Off,
            most => Self::At(most),
        }
    }
}

impl Limits {
    /// What follows the machine, as this one has it: so many descriptors, and so many bytes of memory
    /// if that is known.
    #[must_use]
    pub fn on(mut self, descriptors: u64, memory: Option<u64>) -> Self {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        self.memory = self.memory.said(memory.map_or(usize::MAX, size));
        let bytes = self.memory.or(usize::MAX);
        let auto = size(descriptors / 2).min(bytes / CONNECTION_BYTES).max(1);
        self.connections = self.connections.said(auto);
        let share = match self.connections {
            Cap::At(all) => (all / CLIENT_SHARE).max(CLIENT_LEAST).min(all),
            Cap::Auto | Cap::Off => usize::MAX,
        };
        self.connections_per_client = self.connections_per_client.said(share);
        self
    }

    /// The window of a connection with so many streams, on either side: each has room for its own, so
    /// that one whose reader stops keeps nothing from the others.
    pub fn h2_window(&self, streams: u32) -> u32 {
        let all = self.h2_stream_window.saturating_mul(streams).min(u32::MAX >> 1);
        all.max(self.h2_connection_window)
    }

    /// When load is shed.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { trim: self.memory_trim, shed: self.memory_shed, reset: self.memory_reset }
    }
}

/// More than this no head may have, whatever is asked for.
pub const MOST_FIELDS: usize = 512;

/// What a connection may need at worst, of which most need little.
const CONNECTION_BYTES: usize = 256 * 1024;
/// Which part of all connections one client may have.
const CLIENT_SHARE: usize = 8;
/// What it may have in any case, if there is as much: a browser or two.
const CLIENT_LEAST: usize = 32;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Cap::Auto,
            connections_per_client: Cap::Auto,
            head_bytes: 32 * 1024,
            head_fields: 100,
            trailer_bytes: 16 * 1024,
            field_bytes: 16 * 1024,
            method_bytes: 64,
            target_bytes: 8 * 1024,
            head_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(5),
            client_stall: Duration::from_secs(30),
            client_rate: 240,
            client_rate_grace: Duration::from_secs(30),
            unsent_bytes: 1024 * 1024,
            client_age: Some(Duration::from_secs(60 * 60)),
            upstream_stall: Duration::from_secs(60),
            client_idle: Duration::from_secs(60),
            drain_idle: Duration::from_secs(1),
            connect_time: Duration::from_secs(1),
            unacknowledged_time: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(30),
            upstream_idle_connections: 256,
            attempts: 3,
            retry_bytes: 8 * 1024,
            tcp_attempts: 5,
            interim_responses: 16,
            auth_answer_bytes: 1024 * 1024,
            mirrors: 1_024,
            mirror_bytes: 256 * 1024,
            compressors: 128,
            linger_bytes: 64 * 1024,
            linger_time: Duration::from_secs(1),
            udp_flows: 131_072,
            h3_connections: 4_096,
            h3_handshakes: 1_024,
            tls_send_buffer: 256 * 1024,
            upstream_streams: 100,
            h2_streams: 100,
            h2_stream_window: 64 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_send_buffer: 64 * 1024,
            h2_pending_resets: 20,
            h2_error_resets: 100,
            h2_resets: 100,
            h2_reset_interval: Duration::from_millis(100),
            h2_control_frames: 1_000,
            h2_control_frame_interval: Duration::from_millis(10),
            h2_ping_interval: Duration::from_secs(20),
            h2_ping_time: Duration::from_secs(10),
            memory: Cap::Auto,
            memory_trim: 80,
            memory_shed: 90,
            memory_reset: 95,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_follow_descriptors_and_memory() {
        const MIB: u64 = 1024 * 1024;
        for (descriptors, memory, connections, share) in [
            (20_000, Some(64 * 1024 * MIB), Cap::At(10_000), Cap::At(1_250)),
            (1_048_576, Some(512 * MIB), Cap::At(2_048), Cap::At(256)),
            (1_024, None, Cap::At(512), Cap::At(64)),
            (4, Some(1), Cap::At(1), Cap::At(1)),
        ] {
            let limits = Limits::default().on(descriptors, memory);
            let given = (limits.connections, limits.connections_per_client);
            assert_eq!(given, (connections, share), "{descriptors} {memory:?}");
        }
        let said = Limits { connections: Cap::At(80), ..Limits::default() }.on(64, None);
        assert_eq!((said.connections, said.connections_per_client), (Cap::At(80), Cap::At(32)));
        let off = Limits { connections: Cap::Off, ..Limits::default() }.on(64, None);
        assert_eq!((off.connections, off.connections_per_client), (Cap::Off, Cap::Off));
    }
}
