"""A real SMTP server (aiosmtpd) on 127.0.0.1: in clear, with STARTTLS, or with TLS from the start."""

# ruff: noqa: N802, ARG002 -- aiosmtpd's names and parameters

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True)
class Received:
    """One mail with its envelope, and the state of its connection."""

    sender: str
    to: list[str]
    raw: bytes
    greeting: str
    encrypted: bool
    login: str | None
    smtputf8: bool

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, message_from_bytes(self.raw, policy=default))


@dataclass  # no slots: aiosmtpd reads every attribute, and Python 3.11.2 crashes on that with slots
class SmtpServer:
    """The mails of a running server, and its answers other than ``250``, by command or by address."""

    port: int = 0
    offers_login: bool = False
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    mail_answer: str = ""
    data_answer: str = ""
    rcpt_answers: dict[str, str] = field(default_factory=dict)
    hang_up_after_mail: bool = False

    def to(self, address: str) -> list[Received]:
        return [mail for mail in self.received if address in mail.to]

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [line for line in responses if self.offers_login or "AUTH" not in line]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_answer:
            return self.mail_answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.rcpt_answers:
            return self.rcpt_answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_answer:
            return self.data_answer
        login = cast(LoginPassword, session.auth_data).login.decode() if session.auth_data else None
        self.received.append(
            Received(
                envelope.mail_from or "",
                list(envelope.rcpt_tos),
                cast(bytes, envelope.original_content),
                session.host_name or "",
                session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
                login,
                envelope.smtp_utf8,
            )
        )
        if self.hang_up_after_mail:
            asyncio.get_running_loop().call_soon(server.transport.close)
        return "250 OK"


@contextmanager
def smtp_server(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, password: str = "", utf8: bool = True
) -> Iterator[SmtpServer]:
    """Serve on a free port until the block ends. If ``password`` is set, ``root`` may log in with it."""
    state = SmtpServer(offers_login=bool(password))

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"root", password.encode()), auth_data=data)

    def protocol() -> SMTP:
        state.connections += 1
        return SMTP(
            state,
            hostname="mail.test",
            enable_SMTPUTF8=utf8,
            tls_context=None if implicit else tls,
            auth_require_tls=False,
            authenticator=authenticate,
            loop=loop,
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(
        loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None), loop
    ).result()
    state.port = listening.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        asyncio.run_coroutine_threadsafe(_stop(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(listening: asyncio.Server) -> None:
    listening.close()
    others = asyncio.all_tasks() - {cast("asyncio.Task[None]", asyncio.current_task())}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
