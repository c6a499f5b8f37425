"""A reverse proxy that serves an API below a path, like a stage, a custom domain's mapping or a company's proxy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_PASSED = {"accept", "accept-language", "content-type"}


@contextmanager
def behind_prefix(url: str, prefix: str) -> Iterator[str]:
    """Serve ``url`` below ``prefix`` on a free port, and nothing elsewhere. Yield the new address."""

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() in _PASSED}
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.removeprefix(prefix)
            answer = httpx.request(self.command, url + path, headers=headers, content=body, timeout=30, trust_env=False)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = answer  # noqa: N815 -- the names http.server asks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
