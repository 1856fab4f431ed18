"""Asks app.test at ADDRESS over HTTP/3: ADDRESS CA-FILE."""

import asyncio
import json
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

ADDRESS, CA = sys.argv[1:]


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        for it in self.http.handle_event(event):
            if not isinstance(it, (HeadersReceived, DataReceived)):
                continue
            heads, body, done = self.answers[it.stream_id]
            if isinstance(it, HeadersReceived):
                heads.append(dict(it.headers))
            else:
                body += it.data
            if it.stream_ended and not done.done():
                done.set_result(None)

    async def ask(self, method, path, body=b"", fields=()):
        stream = self._quic.get_next_available_stream_id()
        heads, received, done = self.answers[stream] = ([], bytearray(), asyncio.get_running_loop().create_future())
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"app.test"), (b":path", path)]
        self.http.send_headers(stream, head + list(fields), end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(done, 20)
        return heads, bytes(received)


async def main():
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="app.test")
    configuration.load_verify_locations(CA)
    async with connect(ADDRESS, 443, configuration=configuration, create_protocol=Client) as client:
        heads, body = await client.ask(b"GET", b"/a?b")
        assert heads[0][b":status"] == b"200", heads
        assert json.loads(body)["path"] == "/a?b", body
        heads, body = await client.ask(b"POST", b"/body", b"x" * 1_000_000)
        assert body == b"x" * 1_000_000, len(body)
        heads, body = await client.ask(b"GET", b"/?size=1000000")
        assert len(body) == 1_000_000, len(body)
        heads, body = await client.ask(b"GET", b"/trailers", fields=[(b"te", b"trailers")])
        assert len(heads) == 2, heads
        heads, _ = await client.ask(b"GET", b"/nobody")
        assert heads[0][b":status"] == b"503", heads
        heads, _ = await client.ask(b"GET", b"/", fields=[(b"x-large", b"x" * 33_000)])
        assert heads[0][b":status"] == b"431", heads
        answers = await asyncio.gather(*(client.ask(b"GET", b"/%d" % number) for number in range(50)))
        assert [json.loads(body)["path"] for _, body in answers] == [f"/{number}" for number in range(50)]


asyncio.run(main())
