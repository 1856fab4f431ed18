"""What dnspython asks, and what it must be told: queries.py SERVER PORT NET."""

import random
import socket
import struct
import sys

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.resolver
import dns.reversename
import dns.xfr

server, port, net = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WEB = "web.shop.svc.cluster.local."


def udp(query):
    return dns.query.udp(query, server, port=port, timeout=5)


def tcp(query):
    return dns.query.tcp(query, server, port=port, timeout=5)


def connect():
    stream = socket.create_connection((server, port), timeout=5)
    stream.settimeout(5)
    return stream


def framed(query):
    wire = query.to_wire()
    return struct.pack("!H", len(wire)) + wire


def receive(answers):
    """The next message of a connection's file, or None at the end."""
    length = answers.read(2)
    if not length:
        return None
    return dns.message.from_wire(answers.read(struct.unpack("!H", length)[0]))


def addresses(response):
    return sorted(record.address for rrset in response.answer for record in rrset)


def random_case_comes_back():
    for _ in range(100):
        name = "".join(random.choice((letter.lower(), letter.upper())) for letter in WEB)
        for ask in (udp, tcp):
            response = ask(dns.message.make_query(name, "A"))
            assert response.question[0].name.to_text() == name, response
            assert response.answer[0].name.to_text() == name, response
            assert addresses(response) == [net + ".20"], response


def unknown_options_are_passed_over():
    options = [
        dns.edns.GenericOption(dns.edns.NSID, b""),
        dns.edns.ECSOption("10.0.0.0", 8),
        dns.edns.GenericOption(dns.edns.COOKIE, b"12345678"),
        dns.edns.GenericOption(dns.edns.KEEPALIVE, b""),
        dns.edns.GenericOption(dns.edns.PADDING, bytes(300)),
        dns.edns.GenericOption(65001, bytes(600)),
    ]
    for ask in (udp, tcp):
        for chosen in [[], options, *([option] for option in options)]:
            query = dns.message.make_query(WEB, "A", use_edns=0, payload=4096, options=chosen)
            response = ask(query)
            assert addresses(response) == [net + ".20"], response
            assert (response.edns, response.payload, response.options) == (0, 1232, ()), response


def other_versions_are_told_ours():
    for version in (1, 255):
        query = dns.message.make_query(WEB, "A")
        query.use_edns(version)
        response = udp(query)
        assert response.rcode() == dns.rcode.BADVERS and response.edns == 0, response


def flags_are_as_they_must_be():
    query = dns.message.make_query(WEB, "A", want_dnssec=True)
    query.flags |= dns.flags.CD | dns.flags.AD
    response = udp(query)
    wanted = dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.CD
    assert response.flags == wanted, dns.flags.to_text(response.flags)
    assert response.ednsflags == dns.flags.DO, response
    query = dns.message.make_query(WEB, "A")
    query.flags = 0
    assert udp(query).flags == dns.flags.QR | dns.flags.AA


def several_in_flight_on_one_connection():
    names = [WEB, "db.shop.svc.cluster.local.", "nothing.shop.svc.cluster.local.", "example.org."]
    queries = [dns.message.make_query(names[n % 4], ("A", "AAAA")[n % 3 % 2]) for n in range(60)]
    with connect() as stream:
        stream.sendall(b"".join(framed(query) for query in queries))
        waiting, answers = {query.id: query for query in queries}, stream.makefile("rb")
        while waiting:
            response = receive(answers)
            assert waiting.pop(response.id).is_response(response), response


def a_connection_in_pieces():
    """Lengths and messages arrive byte by byte."""
    with connect() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(dns.message.make_query(WEB, "A")):
            stream.sendall(bytes([byte]))
        assert addresses(receive(stream.makefile("rb"))) == [net + ".20"]


def the_last_query_of_a_connection_is_answered():
    """Who asks more than a connection may carry gets all that it may, and an end, no reset."""
    queries = [dns.message.make_query(WEB, "A") for _ in range(1000)]
    with connect() as stream:
        stream.sendall(b"".join(framed(query) for query in queries))
        answered, answers = 0, stream.makefile("rb")
        while response := receive(answers):
            assert queries[answered].is_response(response)
            answered += 1
        assert answered == 128, answered


def reversed_addresses_of_both_families():
    rows = [
        (net + ".20", "web.shop.svc.cluster.local."),
        (net + ".131", "db-1.db.shop.svc.cluster.local."),
        ("fd00:7::1", "six-0.six.shop.svc.cluster.local."),
        ("fd00:7::20", "dual.shop.svc.cluster.local."),
    ]
    for address, name in rows:
        for ask in (udp, tcp):
            response = ask(dns.message.make_query(dns.reversename.from_address(address), "PTR"))
            assert response.answer[0][0].target.to_text() == name, response
    response = udp(dns.message.make_query(dns.reversename.from_address("fd00:8::1"), "PTR"))
    assert response.rcode() in (dns.rcode.REFUSED, dns.rcode.NXDOMAIN), response


def a_thousand_endpoints_come_over_tcp():
    for use_edns in (False, 0):
        query = dns.message.make_query("huge.shop.svc.cluster.local.", "A", use_edns=use_edns)
        response, is_tcp = dns.query.udp_with_fallback(query, server, port=port, timeout=5)
        assert is_tcp and len(set(addresses(response))) == 1000, response


def what_does_not_fit_is_cut_between_records():
    """Some clients know no TCP: they get as many addresses as there is room for."""
    for payload, least in ((None, 25), (1232, 70)):
        query = dns.message.make_query(
            "huge.shop.svc.cluster.local.", "A", use_edns=0 if payload else False,
            payload=payload or 0)
        response = udp(query)
        assert response.flags & dns.flags.TC, response
        assert len(addresses(response)) >= least, response
        assert len(response.to_wire()) <= (payload or 512)


def services_with_their_addresses():
    query = dns.message.make_query("_sql._tcp.db.shop.svc.cluster.local.", "SRV", payload=1232,
                                   use_edns=0)
    response = udp(query)
    targets = sorted((record.target.to_text(), record.port) for record in response.answer[0])
    assert targets == [(f"db-{n}.db.shop.svc.cluster.local.", 5432) for n in range(3)], response
    glue = sorted(record.address for rrset in response.additional for record in rrset)
    assert glue == [f"{net}.{130 + n}" for n in range(3)], response


def a_resolver_with_a_search_path():
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server], port
    paths = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
    resolver.search = [dns.name.from_text(path) for path in paths]
    resolver.ndots = 5
    for name in ("web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"):
        answer = resolver.resolve(name, "A", search=True)
        assert [record.address for record in answer] == [net + ".20"], name
    try:
        resolver.resolve("web", "AAAA", search=True)
        raise AssertionError("there is no IPv6 address")
    except dns.resolver.NoAnswer:
        pass
    try:
        resolver.resolve("nothing", "A", search=True)
        raise AssertionError("there is no such name")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoNameservers):
        pass


def names_at_their_limits():
    label = "a" * 63
    rows = [
        ".".join([label] * 3 + ["b" * 35, "svc.cluster.local."]),
        ".".join(["a"] * 118 + ["cluster.local."]),
        ".".join(["a"] * 127) + ".",
        ".",
    ]
    for name in rows:
        response = udp(dns.message.make_query(name, "A"))
        wanted = dns.rcode.NXDOMAIN if "cluster" in name else dns.rcode.REFUSED
        assert response.rcode() == wanted, response


def transfers_are_refused():
    try:
        list(dns.query.xfr(server, "cluster.local.", port=port, timeout=5))
        raise AssertionError("the zone is transferred to nobody")
    except dns.query.TransferError as error:
        assert error.rcode == dns.rcode.REFUSED, error


for check in [it for it in list(globals().values()) if getattr(it, "__module__", "") == "__main__"]:
    if check.__name__ in ("udp", "tcp", "connect", "framed", "receive", "addresses"):
        continue
    check()
    print(check.__name__)
