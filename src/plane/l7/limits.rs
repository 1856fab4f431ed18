//! Every limit of the HTTP plane, named: no default of a library is relied on.

use std::time::Duration;

/// Limits and time-outs. [`Limits::default`] is safe without any option set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request or response head; more is 431.
    pub head_bytes: usize,
    /// Bytes of a request target; more is 414.
    pub target_bytes: usize,
    /// From the first byte of a request to the end of its head; longer is 408.
    pub head_time: Duration,
    /// From accept to the end of the TLS handshake; towards endpoints from connect on.
    pub handshake_time: Duration,
    /// How long a client may neither send the body it owes nor take what it is sent.
    pub client_stall: Duration,
    /// How long an endpoint may be silent, before its response and within it; longer is 504.
    pub upstream_stall: Duration,
    /// How long a client connection may wait for its next request.
    pub client_idle: Duration,
    /// How long it may wait once the drain has begun: for a request that is already on its way.
    pub drain_idle: Duration,
    /// How long to try to connect to an endpoint.
    pub connect_time: Duration,
    /// How long sent bytes may stay without acknowledgement (TCP_USER_TIMEOUT).
    pub unacknowledged_time: Duration,
    /// How long an unused upstream connection is kept.
    pub upstream_idle: Duration,
    /// Unused connections kept for an endpoint, by one worker.
    pub upstream_idle_connections: usize,
    /// Endpoints tried for one request.
    pub attempts: usize,
    /// Copies of requests on their way to mirrors, of one worker; beyond them none are made.
    pub mirrors: usize,
    /// Bytes of what a client is still sending that are read and dropped before a connection is
    /// closed, so that it gets to see the answer.
    pub linger_bytes: usize,
    /// How long to wait for them.
    pub linger_time: Duration,
    /// Streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Window of an HTTP/2 stream, in bytes; like those below on both sides.
    pub h2_stream_window: u32,
    /// Window of an HTTP/2 connection, in bytes.
    pub h2_connection_window: u32,
    /// Bytes that wait to be sent on an HTTP/2 stream.
    pub h2_send_buffer: usize,
    /// Streams that the peer reset before they were accepted.
    pub h2_pending_resets: usize,
    /// Streams that were reset because of the peer's errors.
    pub h2_error_resets: usize,
    /// How often an HTTP/2 peer is asked whether it is there.
    pub h2_ping_interval: Duration,
    /// How long it may take to answer.
    pub h2_ping_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            head_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(5),
            client_stall: Duration::from_secs(30),
            upstream_stall: Duration::from_secs(60),
            client_idle: Duration::from_secs(60),
            drain_idle: Duration::from_secs(1),
            connect_time: Duration::from_secs(1),
            unacknowledged_time: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(30),
            upstream_idle_connections: 256,
            attempts: 3,
            mirrors: 1_024,
            linger_bytes: 64 * 1024,
            linger_time: Duration::from_secs(1),
            h2_streams: 100,
            h2_stream_window: 64 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_send_buffer: 64 * 1024,
            h2_pending_resets: 20,
            h2_error_resets: 100,
            h2_ping_interval: Duration::from_secs(20),
            h2_ping_time: Duration::from_secs(10),
        }
    }
}
