"""Real servers on loopback that DVC can use as remotes, each alive inside a `with`.

Each yields the URL for `dvc remote add` and the options that a user sets with `dvc remote modify --local`, because they
are secrets or hold on one machine only.
"""

import asyncio
import functools
import http.server
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import asyncssh
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream
from wsgidav.wsgidav_app import WsgiDAVApp

Remote = tuple[str, dict[str, str]]
HOST = "127.0.0.1"
USER, PASSWORD = "tester", "only-on-loopback"
PATIENCE = 30.0  # seconds a server may take to stop


@contextmanager
def s3_server() -> Iterator[Remote]:
    """An S3 server (moto, which keeps everything in memory) with the bucket `veriframe`."""
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/veriframe", method="PUT"), timeout=PATIENCE).close()
        options = {"endpointurl": endpoint, "access_key_id": USER, "secret_access_key": PASSWORD}
        yield "s3://veriframe/datasets", options
    finally:
        server.stop()


@contextmanager
def webdav_server(folder: Path) -> Iterator[Remote]:
    """A WebDAV server over `folder`, to be made, which asks for user and password."""
    (folder / "datasets").mkdir(parents=True)  # DVC makes folders inside that of the URL, not that one
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_digest": False, "default_to_digest": False},
            "verbose": 0,
        }
    )

    def up_to_the_end(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # wsgidav reads a body until nothing more comes; on a connection that stays open that would be never.
        environ["wsgi.input"] = get_input_stream(environ)
        return application(environ, start_response)  # type: ignore[no-any-return]

    server = make_server(HOST, 0, up_to_the_end, threaded=True)
    with _serving(server):
        yield f"webdav://{HOST}:{server.server_port}/datasets", {"user": USER, "password": PASSWORD}


@contextmanager
def ssh_server(folder: Path) -> Iterator[Remote]:
    """An SSH server with SFTP over `folder`, to be made, which lets in whoever has the key that lies beside it."""
    folder.mkdir(parents=True)
    keyfile = folder.with_suffix(".key")
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(keyfile)
    keyfile.chmod(0o600)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder)),
        )

    async def stop(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()

    try:
        server = asyncio.run_coroutine_threadsafe(listen(), loop).result(PATIENCE)
        yield f"ssh://{USER}@{HOST}:{server.get_port()}/datasets", {"keyfile": str(keyfile)}
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@contextmanager
def http_server(folder: Path) -> Iterator[Remote]:
    """A web server that gives out the files below `folder` and takes none."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    with _serving(server):
        yield f"http://{HOST}:{server.server_port}", {}


@contextmanager
def _serving(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
