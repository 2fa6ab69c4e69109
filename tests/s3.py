"""An S3 server on this machine: moto over real HTTP, behind a layer that fails, cuts off, dawdles and tells old listings."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qs

KEY_ID = "testing"

ERRORS = {
    503: ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    500: ("500 Internal Server Error", "InternalError", "We encountered an internal error."),
    403: ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
}


@dataclass
class Faults:
    """What goes wrong, as shares of the requests of a kind; nothing by default.

    Attributes
    ----------
    busy, broken
        Answered with 503 and 500.
    cut_uploads
        PUTs whose connection is reset when half of the body has come.
    cut_reads, short_reads, flipped_reads
        GETs of objects whose connection is reset after half of the answer, that end early as if that were all, or of which a
        bit is flipped.
    slow
        Requests that are answered after `delay` seconds.
    stale
        Whether listings are those of before it was set.
    """

    busy: float = 0.0
    broken: float = 0.0
    cut_uploads: float = 0.0
    cut_reads: float = 0.0
    short_reads: float = 0.0
    flipped_reads: float = 0.0
    slow: float = 0.0
    delay: float = 0.2
    stale: bool = False
    happened: Counter = field(default_factory=Counter)
    requests: list = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def draws(self, kind):
        hit = self.rng.random() < getattr(self, kind)
        self.happened[kind] += hit
        return hit


class _ResetError(Exception):
    pass


class S3Server:
    """A server of S3 on loopback.

    Attributes
    ----------
    faults
        What goes wrong now; to be replaced as a whole.
    """

    def __init__(self):
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_request(self, *arguments):
                pass

            def log(self, *arguments):
                pass

        self.faults = Faults()
        self._listings = {}
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self):
        """What a process needs in its environment to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def make_bucket(self, name):
        import boto3

        with contextlib.closing(self._client(boto3)) as client:
            client.create_bucket(Bucket=name)

    def objects(self, bucket):
        """Return the objects of a bucket, name -> bytes, and how many uploads in parts are under way."""
        import boto3

        with contextlib.closing(self._client(boto3)) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            uploads = len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
            return {name: client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}, uploads

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _client(self, boto3):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="setup",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )

    def _answer(self, environ, start_response):
        from werkzeug.wrappers import Response

        if "Credential=setup" in environ.get("HTTP_AUTHORIZATION", ""):  # the test's own
            return self._app(environ, start_response)
        faults = self.faults
        method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""))
        lists = method == "GET" and "list-type" in query
        reads = method == "GET" and not lists
        faults.requests.append((method, environ["PATH_INFO"], environ.get("HTTP_RANGE", ""), lists))
        if f"Credential={KEY_ID}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self._error(403)(environ, start_response)
        if faults.draws("slow"):
            time.sleep(faults.delay)
        for kind, status in (("busy", 503), ("broken", 500)):
            if faults.draws(kind):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return self._error(status)(environ, start_response)
        if method == "PUT" and faults.draws("cut_uploads"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            self._reset(environ)
            start_response("503 Cut Off", [("Content-Length", "0")])
            return []
        place = (environ["PATH_INFO"], environ.get("QUERY_STRING"))
        if lists and faults.stale and place in self._listings:
            faults.happened["stale"] += 1
            return self._listings[place](environ, start_response)
        response = Response.from_app(self._app, environ, buffered=True)
        if lists and not faults.stale:
            self._listings[place] = response
        body = response.get_data() if reads else b""
        if reads and len(body) > 1 and response.status_code < 300:
            if faults.draws("short_reads"):
                response.set_data(body[: len(body) // 2])
            elif faults.draws("flipped_reads"):
                at = faults.rng.randrange(len(body))
                response.set_data(body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :])
            elif faults.draws("cut_reads"):
                response.headers["Content-Length"] = str(len(body))

                def half():
                    yield body[: len(body) // 2]
                    self._reset(environ)

                start_response(response.status, response.headers.to_wsgi_list())
                return half()
        return response(environ, start_response)

    @staticmethod
    def _reset(environ):
        """Break the connection as a machine does that is switched off."""
        connection = environ["werkzeug.socket"]
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _error(status):
        from werkzeug.wrappers import Response

        line, code, message = ERRORS[status]
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        return Response(body, status=line, mimetype="application/xml")
