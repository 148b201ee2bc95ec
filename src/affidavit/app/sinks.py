"""Which kinds of sink there are, what each needs, and how one is made from the settings on the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from affidavit.adapters.guarded import Reach
from affidavit.adapters.sinks.file import FileSink
from affidavit.adapters.sinks.git import GitSink
from affidavit.adapters.sinks.http import check_url
from affidavit.adapters.sinks.mail import PLAIN, STARTTLS, TLS, MailSink
from affidavit.adapters.sinks.webhook import WebhookSink
from affidavit.adapters.sinks.witness import WitnessSink
from affidavit.app.config import environment, git_environment
from affidavit.domain.errors import SinkError, UsageError
from affidavit.events.cosign import parse_cosigner
from affidavit.ports.sink import Sink

KINDS = ("file", "git", "webhook", "email", "witness")
SECURITY = (STARTTLS, TLS, PLAIN)
Settings = Mapping[str, str | int | bool]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_ADDRESS = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,255}")
_LARGEST_SECRET = 4096


def settings_of(
    kind: str,
    place: str,
    *,
    key: str = "",
    secret_env: str = "",
    secret_file: Path | None = None,
    smtp: str = "",
    security: str = STARTTLS,
    user: str = "",
    sender: str = "",
    push: bool = False,
) -> Settings:
    """The settings to keep for a sink of ``kind`` at ``place``: checked, complete, without any secret. Raises UsageError."""
    secret = _secret_place(secret_env, secret_file)
    match kind:
        case "file":
            return {"path": str(Path(place).expanduser().resolve())}
        case "git":
            folder = Path(place).expanduser().resolve()
            if not (folder / ".git").exists():
                raise UsageError(
                    f"{folder} is not the working folder of a git repository", f"make one: git init {folder}"
                )
            return {"path": str(folder), "push": push}
        case "webhook":
            if not secret:
                raise UsageError(
                    "a webhook needs a secret that its messages are signed with",
                    "put a long random word into a variable or a file, and add --secret-env NAME or --secret-file PATH",
                )
            return {"url": check_url(place), **secret}
        case "email":
            return _mail_settings(place, smtp, security, user, sender, secret)
        case "witness":
            return {"url": check_url(place), "key": parse_cosigner(key).vkey()}
    raise UsageError(f"there is no sink of kind {kind!r}", f"one of: {', '.join(KINDS)}")


def _mail_settings(
    recipient: str, smtp: str, security: str, user: str, sender: str, secret: Settings
) -> Settings:
    host, _, port = smtp.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536 or not host.isprintable():
        raise UsageError("e-mail needs a server", "for example --smtp mail.example.org:587")
    for address in (recipient, *([sender] if sender else [])):
        if not _ADDRESS.fullmatch(address) or not address.isprintable():
            raise UsageError(f"{address!r} is not a mail address", "for example auditor@example.org")
    if security not in SECURITY:
        raise UsageError(f"there is no --tls {security!r}", f"one of: {', '.join(SECURITY)}")
    if bool(user) != bool(secret):
        raise UsageError(
            "a user name and the place of its password go together",
            "add --user NAME and --secret-env NAME or --secret-file PATH, or neither",
        )
    if user and security == PLAIN:
        raise UsageError("a password is not sent without encryption", "use --tls starttls or --tls tls")
    base: Settings = {"to": recipient, "host": host.strip("[]"), "port": int(port), "tls": security}
    return {**base, "from": sender, "user": user, **secret}


def _secret_place(variable: str, file: Path | None) -> Settings:
    if variable and file is not None:
        raise UsageError(
            "a secret is in a variable or in a file, not in both", "give --secret-env or --secret-file"
        )
    if variable and not _VARIABLE.fullmatch(variable):
        raise UsageError(
            "--secret-env takes the name of an environment variable, not the secret itself",
            "for example --secret-env AUDIT_SECRET",
        )
    if variable:
        return {"secret_env": variable}
    return {} if file is None else {"secret_file": str(file.expanduser().resolve())}


def make_sink(kind: str, settings: Settings, private: Reach = ()) -> Sink:
    """The sink that ``settings`` describe; nothing is opened yet. ``private`` are the networks that it may reach besides public
    ones. Raises SinkError when its secret is not to be had."""
    match kind:
        case "file":
            return FileSink(Path(str(settings["path"])))
        case "git":
            return GitSink(Path(str(settings["path"])), git_environment(), push=bool(settings["push"]))
        case "webhook":
            return WebhookSink(str(settings["url"]), _secret(settings), private=private)
        case "email":
            return MailSink(
                recipient=str(settings["to"]),
                host=str(settings["host"]),
                port=int(settings["port"]),
                security=str(settings["tls"]),
                user=str(settings["user"]),
                password=_secret(settings) if settings["user"] else "",
                sender=str(settings["from"]),
            )
        case "witness":
            return WitnessSink(str(settings["url"]), private=private)
    raise UsageError(
        f"there is no sink of kind {kind!r}", "a newer affidavit may have added it: use that one"
    )


def describe(kind: str, settings: Settings) -> str:
    """Where it goes, in a few words."""
    match kind:
        case "email":
            return f"{settings['to']} through {settings['host']}:{settings['port']}"
        case "file" | "git":
            return str(settings["path"])
    return str(settings["url"])


def _secret(settings: Settings) -> str:
    """The secret, from the variable or file that the settings name. Raises SinkError."""
    variable, file = settings.get("secret_env"), settings.get("secret_file")
    if variable:
        found = environment(str(variable))
        place = f"the variable {variable}"
    else:
        place = str(file)
        try:
            with Path(place).open(encoding="utf-8") as lines:
                found = lines.read(_LARGEST_SECRET).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(
                f"the secret in {place} cannot be read", "check the file and its permissions"
            ) from error
    if not found:
        raise SinkError(f"{place} holds no secret", "set it where `affidavit audit send` runs")
    return found
