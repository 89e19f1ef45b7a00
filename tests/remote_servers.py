"""Real servers on loopback that DVC can use as remotes, each alive inside a `with`.

Each yields the URL for `dvc remote add` and the options that a user would set with `dvc remote modify --local`, because
they are secrets or true on one machine only.
"""

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseServer

import asyncssh
import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from wsgidav.wsgidav_app import WsgiDAVApp

Remote = tuple[str, dict[str, str]]
HOST = "127.0.0.1"
USER, PASSWORD = "tester", "loopback only"
PATIENCE = 30.0  # seconds a server may take to start or stop


@contextmanager
def s3_server() -> Iterator[Remote]:
    """An S3 server (moto, contents in memory) with the bucket `veriframe`."""
    server = make_server(HOST, 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    with _serving(server):
        options = {
            "endpointurl": f"http://{HOST}:{server.server_port}",
            "access_key_id": USER,
            "secret_access_key": PASSWORD,
        }
        client = boto3.client(
            "s3",
            endpoint_url=options["endpointurl"],
            aws_access_key_id=USER,
            aws_secret_access_key=PASSWORD,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="veriframe")
        yield "s3://veriframe/datasets", options


@contextmanager
def webdav_server(folder: Path) -> Iterator[Remote]:
    """A WebDAV server over `folder` that asks for a user and a password."""
    (folder / "datasets").mkdir(parents=True)  # DVC makes folders below the remote's own, not that one
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_digest": False, "default_to_digest": False},
            "verbose": 0,
        }
    )
    server = make_server(HOST, 0, application, threaded=True)
    with _serving(server):
        yield f"webdav://{HOST}:{server.server_port}/datasets", {"user": USER, "password": PASSWORD}


@contextmanager
def http_server(folder: Path) -> Iterator[Remote]:
    """A web server that gives out the files below `folder` and takes none."""
    handler = functools.partial(_Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    with _serving(server):
        yield f"http://{HOST}:{server.server_port}", {}


@contextmanager
def ssh_server(folder: Path) -> Iterator[Remote]:
    """An SSH server with SFTP below `folder`, which lets one user in by key; the key lies beside `folder`."""
    keyfile = folder.with_name("id_ed25519")
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(keyfile)
    keyfile.chmod(0o600)
    folder.mkdir()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncssh.listen(
        HOST,
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder)),
    )
    server = asyncio.run_coroutine_threadsafe(listening, loop).result(PATIENCE)
    try:
        yield f"ssh://{USER}@{HOST}:{server.get_port()}/datasets", {"keyfile": str(keyfile)}
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


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
