//! Every limit: its name, what it limits, and where it is kept.

use super::{Field, Limit};
use crate::plane::MOST_FIELDS;

const fn limit(name: &'static str, help: &'static str, field: Field) -> Limit {
    Limit { name, help, field }
}

/// All of them, in the order of the fields.
pub const LIMITS: [Limit; 53] = [
    limit(
        "connections",
        "Client connections, of all workers [auto: half of the descriptors, memory / 256 KiB at most]",
        Field::CountCap(|it| &mut it.connections),
    ),
    limit(
        "connections-per-client",
        "Of these, HTTP and TLS from one address (IPv6: a /64) [auto: an eighth, 32 at least]",
        Field::CountCap(|it| &mut it.connections_per_client),
    ),
    limit(
        "head-bytes",
        "A request or response head; more is 431",
        Field::Bytes(|it| &mut it.head_bytes),
    ),
    limit(
        "head-fields",
        "Fields of a request or response head; more is 431",
        Field::CountWithin(|it| &mut it.head_fields, MOST_FIELDS),
    ),
    limit(
        "trailer-bytes",
        "Trailers, and the extensions of all chunks of a body",
        Field::Bytes(|it| &mut it.trailer_bytes),
    ),
    limit(
        "field-bytes",
        "One field of a request head; more is 431",
        Field::Bytes(|it| &mut it.field_bytes),
    ),
    limit("method-bytes", "A method; more is 501", Field::Bytes(|it| &mut it.method_bytes)),
    limit("target-bytes", "A request target; more is 414", Field::Bytes(|it| &mut it.target_bytes)),
    limit(
        "head-time",
        "From the first byte of a request to the end of its head; longer is 408",
        Field::Time(|it| &mut it.head_time),
    ),
    limit(
        "handshake-time",
        "A TLS handshake, with clients and endpoints",
        Field::Time(|it| &mut it.handshake_time),
    ),
    limit(
        "client-stall",
        "A client neither sends the body it owes nor takes what it is sent",
        Field::Time(|it| &mut it.client_stall),
    ),
    limit(
        "client-idle",
        "A client connection waits for its next request",
        Field::Time(|it| &mut it.client_idle),
    ),
    limit(
        "client-rate",
        "Bytes a second of a body that a client has to send or take, on average; 0 is no limit",
        Field::Count(|it| &mut it.client_rate),
    ),
    limit(
        "client-rate-grace",
        "How long it may be slower",
        Field::Time(|it| &mut it.client_rate_grace),
    ),
    limit(
        "unsent-bytes",
        "Bytes for a client that wait in the system, beyond what it has room for",
        Field::Window(|it| &mut it.unsent_bytes),
    ),
    limit(
        "client-age",
        "The age from which on a client connection is closed after a response, a tenth more or less",
        Field::TimeOrOff(|it| &mut it.client_age),
    ),
    limit(
        "upstream-stall",
        "An endpoint is silent, before its response and within it; longer is 504",
        Field::Time(|it| &mut it.upstream_stall),
    ),
    limit(
        "drain-idle",
        "A client connection waits for a request that is on its way, once rutter drains",
        Field::Time(|it| &mut it.drain_idle),
    ),
    limit(
        "connect-time",
        "A connection to an endpoint is made",
        Field::Time(|it| &mut it.connect_time),
    ),
    limit(
        "unacknowledged-time",
        "Bytes sent to an endpoint stay without acknowledgement",
        Field::Time(|it| &mut it.unacknowledged_time),
    ),
    limit(
        "upstream-idle",
        "An unused upstream connection is kept",
        Field::Time(|it| &mut it.upstream_idle),
    ),
    limit(
        "upstream-idle-connections",
        "Unused connections to an endpoint, of a worker",
        Field::Count(|it| &mut it.upstream_idle_connections),
    ),
    limit(
        "attempts",
        "Endpoints tried for one request",
        Field::CountWithin(|it| &mut it.attempts, 100),
    ),
    limit(
        "retry-bytes",
        "Of a request, kept when sent, so that it can be sent again",
        Field::Bytes(|it| &mut it.retry_bytes),
    ),
    limit(
        "tcp-attempts",
        "Endpoints tried for one TCP connection",
        Field::CountWithin(|it| &mut it.tcp_attempts, 100),
    ),
    limit(
        "interim-responses",
        "Responses such as 103 before that to a request; more is 502",
        Field::Streams(|it| &mut it.interim_responses),
    ),
    limit(
        "auth-answer-bytes",
        "An answer of an authorization server, for the client",
        Field::Bytes(|it| &mut it.auth_answer_bytes),
    ),
    limit(
        "mirrors",
        "Copies of requests on their way to mirrors, of a worker",
        Field::Count(|it| &mut it.mirrors),
    ),
    limit(
        "mirror-bytes",
        "Bytes that a mirror may be behind; more, and it loses the copy",
        Field::Bytes(|it| &mut it.mirror_bytes),
    ),
    limit(
        "compressors",
        "Responses compressed at once, of a worker",
        Field::Count(|it| &mut it.compressors),
    ),
    limit(
        "linger-bytes",
        "What a client is still sending is read before its connection is closed",
        Field::Bytes(|it| &mut it.linger_bytes),
    ),
    limit("linger-time", "How long that is waited for", Field::Time(|it| &mut it.linger_time)),
    limit(
        "udp-flows",
        "UDP flows, of a worker",
        Field::CountWithin(|it| &mut it.udp_flows, 1 << 24),
    ),
    limit(
        "h3-connections",
        "Connections of HTTP/3, of a socket",
        Field::Count(|it| &mut it.h3_connections),
    ),
    limit(
        "h3-handshakes",
        "Of these, announced and not looked at yet, with 16 KiB each",
        Field::Count(|it| &mut it.h3_handshakes),
    ),
    limit(
        "tls-send-buffer",
        "Bytes that wait to be sent on a TLS connection",
        Field::Window(|it| &mut it.tls_send_buffer),
    ),
    limit(
        "upstream-streams",
        "Streams of an HTTP/2 connection to an endpoint, if it takes as many",
        Field::Streams(|it| &mut it.upstream_streams),
    ),
    limit(
        "h2-streams",
        "Streams of a connection of HTTP/2 or HTTP/3",
        Field::Streams(|it| &mut it.h2_streams),
    ),
    limit(
        "h2-stream-window",
        "The window of such a stream",
        Field::Window(|it| &mut it.h2_stream_window),
    ),
    limit(
        "h2-connection-window",
        "The window of such a connection; at least those of all its streams",
        Field::Window(|it| &mut it.h2_connection_window),
    ),
    limit(
        "h2-send-buffer",
        "Bytes that wait to be sent on a stream",
        Field::Bytes(|it| &mut it.h2_send_buffer),
    ),
    limit(
        "h2-pending-resets",
        "Streams that a peer reset before they were accepted",
        Field::Count(|it| &mut it.h2_pending_resets),
    ),
    limit(
        "h2-error-resets",
        "Streams reset because of a peer's errors",
        Field::Count(|it| &mut it.h2_error_resets),
    ),
    limit(
        "h2-resets",
        "Streams of a connection that end before their time by the client's doing, at once",
        Field::Streams(|it| &mut it.h2_resets),
    ),
    limit(
        "h2-reset-interval",
        "How often there may be one more of these",
        Field::Time(|it| &mut it.h2_reset_interval),
    ),
    limit(
        "h2-control-frames",
        "Frames of a connection that carry no request and no body, at once; 10 more for each that does",
        Field::Streams(|it| &mut it.h2_control_frames),
    ),
    limit(
        "h2-control-frame-interval",
        "How often there may be one more of these",
        Field::Time(|it| &mut it.h2_control_frame_interval),
    ),
    limit(
        "h2-ping-interval",
        "How often an HTTP/2 peer is asked whether it is there",
        Field::Time(|it| &mut it.h2_ping_interval),
    ),
    limit("h2-ping-time", "It answers that", Field::Time(|it| &mut it.h2_ping_time)),
    limit(
        "memory",
        "Memory by which load is shed [auto: of the cgroup, or all there is]",
        Field::BytesCap(|it| &mut it.memory),
    ),
    limit(
        "memory-trim",
        "Of it: from here on idle connections are closed, and others with their next response",
        Field::Percent(|it| &mut it.memory_trim),
    ),
    limit(
        "memory-shed",
        "From here on what is new is refused with 503",
        Field::Percent(|it| &mut it.memory_shed),
    ),
    limit(
        "memory-reset",
        "From here on what holds most is reset",
        Field::Percent(|it| &mut it.memory_reset),
    ),
];
