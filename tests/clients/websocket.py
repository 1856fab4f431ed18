"""A WebSocket server on SERVER, which clients reach through a proxy at PROXY: SERVER PROXY CA-FILE."""

import asyncio
import ssl
import sys
import websockets

SERVER, PROXY, CA = sys.argv[1:]


async def serve(socket, path):
    """Echoes; `/pysocket/close/CODE` closes at once, `/pysocket/many` sends a lot unasked."""
    if "/close/" in path:
        return await socket.close(int(path.rsplit("/", 1)[1]), "because")
    if path.endswith("/many"):
        for number in range(200):
            await socket.send(bytes([number]) * 50_000)
        return await socket.close()
    async for message in socket:
        await socket.send(message)


async def check(base, **options):
    async with websockets.connect(f"{base}/pysocket", max_size=2**25, **options) as socket:
        for message in ["", "hello", "täglich", b"", b"\0\xff", "x" * 125, "x" * 126, "x" * 70_000, b"y" * 5_000_000]:
            await socket.send(message)
            assert await socket.recv() == message, f"{message[:10]} came back as another one"
        await asyncio.wait_for(await socket.ping(b"there?"), 10)
        # fragments are one message
        await socket.send(iter(["one ", "two ", "three"]))
        assert await socket.recv() == "one two three"
        # many at once
        for number in range(500):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(500)] == [str(number) for number in range(500)]
        await socket.close(3456, "enough")
        assert socket.close_code == 3456, socket.close_code

    # what the server says last arrives
    for code in [1000, 1001, 1011, 3000, 4999]:
        async with websockets.connect(f"{base}/pysocket/close/{code}", **options) as socket:
            try:
                await socket.recv()
                raise AssertionError("it was not closed")
            except websockets.ConnectionClosed as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (code, "because"), closed

    # a client that is slow to read gets everything, in order
    async with websockets.connect(f"{base}/pysocket/many", max_queue=1, **options) as socket:
        await asyncio.sleep(0.5)
        number = 0
        async for message in socket:
            assert message == bytes([number]) * 50_000, number
            number += 1
        assert number == 200, number

    # the built-in echo backend
    async with websockets.connect(f"{base}/ws", **options) as socket:
        await socket.send("again")
        assert await socket.recv() == "again"

    # a refused handshake is an answer of HTTP
    try:
        await websockets.connect(f"{base}/unknown", **options)
        raise AssertionError("it was accepted")
    except websockets.InvalidStatusCode as refused:
        assert refused.status_code == 404, refused


async def main():
    host, port = SERVER.rsplit(":", 1)
    context = ssl.create_default_context(cafile=CA)
    async with websockets.serve(serve, host, int(port), max_size=2**25):
        await check("ws://app.test", host=PROXY, port=80)
        await check("wss://app.test", host=PROXY, port=443, ssl=context, server_hostname="app.test")


asyncio.run(asyncio.wait_for(main(), 60))
