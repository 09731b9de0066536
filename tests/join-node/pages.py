#!/usr/bin/env python3
"""pages.py DIRECTORY : what scripts/test-join-node.sh asks: the pages of an agent on port 1107, which DIRECTORY holds, and an API server on port
6443, whose clock is ahead by the seconds in the file `ahead`. Requests for /start and /stop on port 1108 start and stop the agent."""

import ssl
import subprocess
import sys
import tempfile
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(sys.argv[1])


class Agent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = (PAGES / "ready").read_text()
        text = (PAGES / "metrics").read_text() if self.path == "/metrics" else ready
        self.send_response(503 if self.path == "/readyz" and ready != "ok\n" else 200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Control(Agent):
    agent: ThreadingHTTPServer | None = None

    def do_GET(self) -> None:
        if self.path == "/start" and not Control.agent:
            Control.agent = serve(1107, Agent)
        if self.path == "/stop" and Control.agent:
            Control.agent.shutdown()
            Control.agent.server_close()
            Control.agent = None
        self.send_response(204)
        self.end_headers()


class Api(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(401)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        ahead = PAGES / "ahead"
        return formatdate(time.time() + (int(ahead.read_text()) if ahead.exists() else 0), usegmt=True)

    def log_message(self, *_: object) -> None:
        pass


def serve(port: int, handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
    return server


with tempfile.TemporaryDirectory() as directory:
    key, certificate = f"{directory}/key", f"{directory}/certificate"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
(PAGES / "ready").write_text("ok\n")
serve(6443, Api, tls)
serve(1108, Control)
