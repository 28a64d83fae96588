"""Loopback receivers of alerts that speak the real protocols: a webhook, a mail server."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """Answers with what `answers` holds, one after the other, then with `default`; keeps what it received."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    default: int = 204
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event | None = None


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook on the loopback."""
    state = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            state.received.append((dict(self.headers), content))
            if state.hold:
                state.hold.wait(10)
            status, headers = state.answers.pop(0) if state.answers else (state.default, {})
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}/alerts/token-of-the-receiver"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """Answers RCPT and DATA with the given codes; keeps envelopes and mails."""

    port: int = 0
    recipient_codes: dict[str, int] = field(default_factory=dict)
    data_code: int = 250
    recipients: list[list[str]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A mail server on the loopback that speaks as much of SMTP as it takes to accept or refuse a mail."""
    state = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.say("220 loopback")
            recipients: list[str] = []
            while line := self.rfile.readline().decode().strip():
                command = line.split()[0].upper()
                if command == "EHLO":
                    self.say("250 loopback")
                elif command == "RCPT":
                    address = line.partition("<")[2].partition(">")[0]
                    code = state.recipient_codes.get(address, 250)
                    recipients += [address] if code == 250 else []
                    self.say(f"{code} {address}")
                elif command == "DATA":
                    self.say("354 go on")
                    mail = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        mail += part
                    self.say(f"{state.data_code} done")
                    if state.data_code == 250:
                        state.recipients.append(recipients)
                        state.mails.append(mail)
                elif command == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
