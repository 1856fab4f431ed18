"""Calls the service of gRPC's interoperability tests through a proxy: ADDRESS CA-FILE.

Messages are written and read by hand, so that no compiler of protobuf is needed:
SimpleRequest{response_size=2, payload=3{body=2}}, StreamingOutputCallRequest{response_parameters=2{size=1,
interval_us=2}}, StreamingInputCallResponse{aggregated_payload_size=1}.
"""

import sys
import grpc

ADDRESS, CA = sys.argv[1:]
SERVICE = "/grpc.testing.TestService/"


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def payload(length):
    return message(2, b"\0" * length)


def simple(response_size, length=0):
    return number(2, response_size) + message(3, payload(length))


def parameters(size, micros=0):
    return message(2, number(1, size) + number(2, micros))


def check(channel):
    unary = channel.unary_unary(SERVICE + "UnaryCall")
    upload = channel.stream_unary(SERVICE + "StreamingInputCall")
    download = channel.unary_stream(SERVICE + "StreamingOutputCall")
    both = channel.stream_stream(SERVICE + "FullDuplexCall")

    answer = unary(simple(314159, 271828), timeout=20)
    assert len(answer) > 314159, len(answer)

    answer = upload(iter([message(1, payload(size)) for size in (27182, 8, 1828, 45904)]), timeout=20)
    assert answer == number(1, 74922), answer

    sizes = [31415, 9, 2653, 58979]
    answers = list(download(b"".join(map(parameters, sizes)), timeout=20))
    assert all(len(it) > size for it, size in zip(answers, sizes, strict=True)), answers

    # each message is answered before the next one is sent
    questions = []

    def ask():
        for size in sizes:
            questions.append(size)
            yield parameters(size)
            while len(answered) < len(questions):
                with told:
                    told.wait(20)

    import threading

    told, answered = threading.Condition(), []
    call = both(ask(), timeout=20)
    for answer in call:
        assert len(answered) == len(questions) - 1, "an answer waited for the next question"
        with told:
            answered.append(answer)
            told.notify()
    assert len(answered) == len(sizes)

    # metadata comes back: as an initial field and as a trailer
    metadata = [("x-grpc-test-echo-initial", "first"), ("x-grpc-test-echo-trailing-bin", b"\xab\xab")]
    _, call = unary.with_call(simple(1), metadata=metadata, timeout=20)
    assert ("x-grpc-test-echo-initial", "first") in [tuple(it) for it in call.initial_metadata()]
    assert ("x-grpc-test-echo-trailing-bin", b"\xab\xab") in [tuple(it) for it in call.trailing_metadata()]

    # a status of the server, with a message: EchoStatus{code=1, message=2} is field 7
    status = message(7, number(1, 2) + message(2, "täglich\t☺".encode()))
    error = failure(lambda: unary(status, timeout=20))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "täglich\t☺"), error

    # a deadline ends a call that the server would answer for long
    error = failure(lambda: list(download(parameters(1, 10_000_000), timeout=0.2)))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error

    # a cancelled call ends
    call = download(parameters(1) + parameters(1, 10_000_000))
    next(call)
    call.cancel()
    assert failure(lambda: next(call)).code() == grpc.StatusCode.CANCELLED

    error = failure(lambda: channel.unary_unary(SERVICE + "UnimplementedCall")(b"", timeout=20))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    # what the proxy says itself: a route to a Service that nobody is behind
    error = failure(lambda: channel.unary_unary("/nobody/Call")(b"", timeout=20))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    assert "no_ready_endpoint" in error.details(), error


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


with open(CA, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
named = [("grpc.ssl_target_name_override", "grpc.test"), ("grpc.default_authority", "grpc.test")]
with grpc.secure_channel(f"{ADDRESS}:443", credentials, named) as channel:
    check(channel)
with grpc.insecure_channel(f"{ADDRESS}:80", named[1:]) as channel:
    check(channel)
