"""How the server is set up: one TOML file, every setting declared here once with its meaning, secrets only as names of files."""

from __future__ import annotations

import difflib
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from affidavit.app.wiring import SETTINGS
from affidavit.domain.errors import UsageError

_MOST_BYTES = 2**20
_MOST_SECRET = 2**16
_SECONDS_OF_A_DAY = 86_400


def setting(
    default: Any, said: str, *, lowest: int = 0, highest: int = 2**53, words: tuple[str, ...] = ()
) -> Any:
    """A setting with its meaning; a number has bounds, a text may be one of ``words``."""
    return field(
        default=default, metadata={"said": said, "lowest": lowest, "highest": highest, "words": words}
    )


@dataclass(frozen=True)
class ServerSettings:
    """Where the server listens, and how the world reaches it."""

    host: str = setting("127.0.0.1", "The address to listen at; 0.0.0.0 for all.")
    port: int = setting(8080, "The port; 0 takes a free one.", highest=65535)
    public_url: str = setting(
        "",
        "How people reach it, https://ask.example.com: requests for another host are refused, and sign-in comes back to it.",
    )
    workers: int = setting(1, "Processes over the one workspace.", lowest=1, highest=64)
    tls_certificate: str = setting(
        "", "A PEM file with the certificate and its chain: the server speaks https."
    )
    tls_key_file: str = setting("", "The certificate's private key, a PEM file.")
    metrics: str = setting(
        "", "HOST:PORT at which Prometheus reads /metrics of all tenants and processes, without a sign-in."
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses or networks of the proxies in front whose X-Forwarded-For and -Proto are believed."
    )


@dataclass(frozen=True)
class LimitSettings:
    """How much is taken in and done at once. What does not fit is refused at once, with the time to come back at."""

    hands: int = setting(4, "Pieces of work at a time, in each process.", lowest=1, highest=256)
    queue: int = setting(32, "Requests of one tenant that wait, in each process.", lowest=1, highest=10_000)
    person_queue: int = setting(
        16, "Requests of one person that wait, in each process.", lowest=1, highest=10_000
    )
    total: int = setting(256, "Requests that wait in all, in each process.", lowest=1, highest=100_000)
    body_bytes: int = setting(1_000_000, "The largest body of a request.", lowest=1_000, highest=2**30)
    header_bytes: int = setting(16_384, "The largest head of a request.", lowest=1_024, highest=2**20)
    receive_seconds: int = setting(
        30, "How long a request may take to arrive.", lowest=1, highest=_SECONDS_OF_A_DAY
    )
    drain_seconds: int = setting(
        30, "How long the server finishes what was begun when it is stopped.", lowest=1, highest=3600
    )
    person_per_minute: int = setting(
        300, "Requests of one person a minute, to all processes together; 0: no limit.", highest=10**9
    )
    tenant_per_minute: int = setting(
        6_000, "Requests of one tenant a minute, to all processes together; 0: no limit.", highest=10**9
    )
    streams: int = setting(
        64, "Open event streams of one tenant, in each process.", lowest=1, highest=100_000
    )
    person_streams: int = setting(
        16, "Open event streams of one person, in each process.", lowest=1, highest=100_000
    )


@dataclass(frozen=True)
class QuotaSettings:
    """How much may be asked for in a day (UTC), to all processes together; 0: as much as anybody likes. Money has budgets."""

    person_requests: int = setting(0, "Requests of one person, of any kind.", highest=10**12)
    person_questions: int = setting(0, "Questions, searches and embeddings of one person.", highest=10**12)
    person_calls: int = setting(0, "Tool calls of one person.", highest=10**12)
    tenant_requests: int = setting(0, "Requests of one tenant, of any kind.", highest=10**12)
    tenant_questions: int = setting(0, "Questions, searches and embeddings of one tenant.", highest=10**12)
    tenant_calls: int = setting(0, "Tool calls of one tenant.", highest=10**12)


@dataclass(frozen=True)
class LogSettings:
    """What the server says of each request: never a body, a query or a name."""

    format: str = setting("json", "`json`, one object a line, or `text`.", words=("json", "text"))
    requests: bool = setting(True, "A line for each request.")
    addresses: bool = setting(
        False,
        "Say also from which address it came: personal data in most places, and needed to trace an attack.",
    )


@dataclass(frozen=True)
class SignInSettings:
    """Sign-in with OpenID Connect, for browsers and for bearer tokens. Without an issuer there is none."""

    issuer: str = setting("", "The provider, as in its tokens: https://login.example.com")
    client_id: str = setting("", "What the provider knows this server by.")
    client_secret_file: str = setting("", "A file that holds the client's secret; none for a public client.")
    tenant: str = setting("", "The tenant that people sign in to; empty: the only one there is.")
    principal_claim: str = setting(
        "",
        "The claim that says who somebody is; empty: the address if the provider vouches for it, else `sub`.",
    )
    groups_claim: str = setting(
        "", "The claim that lists somebody's groups; empty: groups come from elsewhere."
    )
    groups_prefix: str = setting(
        "", "Put before those groups' names; groups that begin with it are the provider's, all others yours."
    )
    create: bool = setting(False, "Make people known at their first sign-in; else they must be known before.")
    session_hours: int = setting(8, "A sign-in is good for so long at most.", lowest=1, highest=720)
    idle_minutes: int = setting(
        60, "A session ends when nothing was asked for so long.", lowest=1, highest=43_200
    )
    resource: str = setting("", "The audience that bearer tokens must name; empty: server.public_url.")


@dataclass(frozen=True)
class NetworkSettings:
    """Where the server connects to of its own accord: webhooks, witnesses, followers, timestamps, the sign-in provider."""

    allow_private: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        "Networks that are not public and may be connected to; without any, public addresses alone. Link-local ones never are.",
    )


@dataclass(frozen=True)
class DirectorySettings:
    """What a directory may change: with SCIM, or by the groups that the sign-in provider sends."""

    role_groups: tuple[str, ...] = setting(
        (),
        "Groups with grants or roles whose members the directory may change all the same; people change the others.",
    )


@dataclass(frozen=True)
class Settings:
    """All of them. ``folder`` is what names of files are relative to; ``file`` is None where there is none."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    quotas: QuotaSettings = field(default_factory=QuotaSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    signin: SignInSettings = field(default_factory=SignInSettings)
    directory: DirectorySettings = field(default_factory=DirectorySettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    folder: Path = field(default_factory=Path)
    file: Path | None = None

    @property
    def https(self) -> bool:
        """Whether people reach it encrypted."""
        return bool(self.server.tls_certificate) or self.server.public_url.startswith("https://")

    @property
    def client_secret(self) -> str:
        """The sign-in client's secret, "" for a public client. Raises UsageError."""
        name = self.signin.client_secret_file
        return self.secret(name) if name else ""

    def path(self, name: str) -> Path:
        """The file that a setting names."""
        return self.folder / name

    def secret(self, name: str) -> str:
        """What the file that a setting names holds, without white space around it. Raises UsageError, which never shows it."""
        path = self.path(name)
        try:
            with path.open(encoding="utf-8") as file:
                found = file.read(_MOST_SECRET).strip()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the secret in {path} cannot be read", "check the file's name and owner"
            ) from error
        if not found:
            raise UsageError(f"{path} is empty", "write the secret into it, and nothing else")
        return found


SECTIONS: Mapping[str, type[Any]] = {
    "server": ServerSettings,
    "limits": LimitSettings,
    "quotas": QuotaSettings,
    "logs": LogSettings,
    "signin": SignInSettings,
    "directory": DirectorySettings,
    "network": NetworkSettings,
}


def load(folder: Path, file: Path | None = None) -> Settings:
    """The settings of the workspace in ``folder``: of ``file``, else of its ``server.toml``, else what holds without one.

    Raises UsageError, which names the setting.
    """
    path = file or folder / SETTINGS
    if file is None and not path.exists():
        return Settings(folder=folder)
    try:
        with path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UsageError(f"{path} is no settings file: it is too large", "see docs/reference/settings.md")
        found = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its name and owner") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}", "see docs/reference/settings.md") from error
    return replace(parse(found), folder=path.parent, file=path)


def parse(found: Mapping[str, Any]) -> Settings:
    """Settings of what a file says. Raises UsageError for whatever is unknown or cannot be."""
    known: dict[str, Any] = {}
    for name, value in found.items():
        if name not in SECTIONS:
            raise _unknown(name, SECTIONS, "section")
        if not isinstance(value, dict):
            raise UsageError(f"{name} is a section", f"write [{name}] on a line of its own")
        known[name] = SECTIONS[name](**dict(_values(name, SECTIONS[name], value)))
    settings = Settings(**known)
    _check(settings)
    return settings


def _values(section: str, kind: type[Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    declared = {f.name: f for f in fields(kind)}
    for name, value in found.items():
        if name not in declared:
            raise _unknown(f"{section}.{name}", [f"{section}.{known}" for known in declared], "setting")
        yield name, _value(f"{section}.{name}", declared[name], value)


def _value(name: str, declared: Field[Any], value: Any) -> Any:
    meta, default = declared.metadata, declared.default
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise UsageError(f"{name} is a list of texts", f'{name.partition(".")[2]} = ["…"]')
        return tuple(value)
    # True is an int in Python, and in TOML it is not
    if type(value) is not type(default):
        said = {bool: "true or false", int: "a whole number", str: "a text"}[type(default)]
        raise UsageError(f"{name} is {said}", meta["said"])
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and not meta["lowest"] <= value <= meta["highest"]
    ):
        raise UsageError(f"{name} = {value} is not from {meta['lowest']} to {meta['highest']}", meta["said"])
    if meta["words"] and value not in meta["words"]:
        raise UsageError(f"{name} is one of: {', '.join(meta['words'])}", meta["said"])
    if isinstance(value, str) and not value.isprintable():
        raise UsageError(f"{name} holds a character that cannot be printed", meta["said"])
    return value


def _unknown(name: str, known: Any, what: str) -> UsageError:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"there is no {what} {name}", hint)


def _check(settings: Settings) -> None:
    """What one value alone does not show. Raises UsageError."""
    server, signin = settings.server, settings.signin
    for name, url in (("server.public_url", server.public_url), ("signin.issuer", signin.issuer)):
        if url and not _web(url):
            raise UsageError(
                f"{name} is not a web address", "write https://HOST, without a query or a user name"
            )
    if urlsplit(server.public_url).path not in ("", "/"):
        raise UsageError("server.public_url has a path", "the server needs a host name of its own")
    if server.metrics:
        try:
            host_and_port(server.metrics)
        except ValueError as error:
            raise UsageError("server.metrics is not HOST:PORT", "for example 127.0.0.1:9464") from error
    if bool(server.tls_certificate) != bool(server.tls_key_file):
        raise UsageError(
            "server.tls_certificate and server.tls_key_file belong together", "give both, or neither"
        )
    if signin.issuer and not (signin.client_id and server.public_url):
        raise UsageError(
            "signin.issuer needs signin.client_id and server.public_url",
            "the provider sends people back there",
        )
    for name, networks in (
        ("server.trusted_proxies", server.trusted_proxies),
        ("network.allow_private", settings.network.allow_private),
    ):
        for network in networks:
            if not _network(network):
                raise UsageError(f"{name}: {network!r} is not a network", "write 10.1.2.3 or 10.1.0.0/16")


def _web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def _network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def host_and_port(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 address in brackets. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port is None or parts.netloc != text or parts.username is not None:
        raise ValueError(text)
    return parts.hostname, parts.port


def local(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown(settings: Settings) -> dict[str, dict[str, Any]]:
    """What is in force, by section. Secrets are not among it: settings hold names of files only."""
    return {
        section: {
            f.name: list(value) if isinstance(value, tuple) else value
            for f in fields(kind)
            for value in (getattr(getattr(settings, section), f.name),)
        }
        for section, kind in SECTIONS.items()
    }


def described() -> Iterator[tuple[str, str, Any, str]]:
    """(section, name, default, meaning) of every setting, in order: for the reference page."""
    for section, kind in SECTIONS.items():
        for f in fields(kind):
            default = list(f.default) if isinstance(f.default, tuple) else f.default
            yield section, f.name, default, f.metadata["said"]


def concerns(settings: Settings) -> list[str]:
    """What may be meant so and is risky, or will not work, in words that say what to do."""
    server = settings.server
    out = []
    if not local(server.host) and not settings.https:
        out.append(
            f"plain http at {server.host}: who listens on the way reads keys and answers; set server.tls_certificate, "
            'or put a proxy in front and say so with server.public_url = "https://…"'
        )
    if not local(server.host) and not server.public_url:
        out.append("server.public_url is not set: the Host of a request is not checked")
    if server.public_url.startswith("https://") and not server.tls_certificate and not server.trusted_proxies:
        out.append(
            "https is spoken by a proxy, and server.trusted_proxies names none: every request seems to come from it"
        )
    if server.metrics and not local(host_and_port(server.metrics)[0]):
        out.append("server.metrics is open to whoever reaches it: let only Prometheus")
    if any(ip_network(network).prefixlen == 0 for network in server.trusted_proxies):
        out.append("server.trusted_proxies believes everybody: anyone can claim any address")
    for name in (server.tls_certificate, server.tls_key_file, settings.signin.client_secret_file):
        out += _file_concerns(settings.path(name), secret=name != server.tls_certificate) if name else []
    return out


def _file_concerns(path: Path, *, secret: bool) -> list[str]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    if secret and mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path} can be read by others: chmod 600 {path}"]
    return []
