"""An origin by Waitress, Gunicorn or aiohttp: its listening socket is its standard input; every
answer tells what it saw."""

import socket
import sys


def told(fields, method, length, target):
    """What is told of a request: its id, method, length of the body, host and target."""
    return f"{fields('X-Request-Id')} {method} {length} {fields('Host')} {target}"


def wsgi(environ, start_response):
    """The application of Waitress and Gunicorn."""

    def field(name):
        return environ.get("HTTP_" + name.upper().replace("-", "_"), "")

    length = len(environ["wsgi.input"].read())
    target = environ.get("RAW_URI") or environ["REQUEST_URI"]
    if length < int(environ.get("CONTENT_LENGTH") or 0):
        raise EOFError("the client went away within its body")
    seen = told(field, environ["REQUEST_METHOD"], length, target)
    start_response("200 OK", [("X-Seen", seen), ("Content-Length", "7")])
    return [b"python\n"]


def waitress():
    from waitress import serve

    serve(wsgi, sockets=[socket.socket(fileno=0)], threads=4, _quiet=True)


def gunicorn():
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self):
            settings = {"bind": "fd://0", "worker_class": "gthread", "threads": 8}
            for name, value in (settings | {"keepalive": 60}).items():
                self.cfg.set(name, value)

        def load(self):
            return wsgi

    Application().run()


def aiohttp():
    import asyncio

    from aiohttp import web

    async def answer(request):
        length = len(await request.read())
        fields = request.headers
        seen = told(lambda name: fields.get(name, ""), request.method, length, request.raw_path)
        return web.Response(text="python\n", headers={"X-Seen": seen})

    async def run():
        listener = socket.socket(fileno=0)
        server = await asyncio.get_running_loop().create_server(web.Server(answer), sock=listener)
        await server.serve_forever()

    asyncio.run(run())


{"waitress": waitress, "gunicorn": gunicorn, "aiohttp": aiohttp}[sys.argv[1]]()
