"""A parcel service with an HTTP API and a key. The key is a secret of the workspace: only the gateway can read it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, TypedDict

import httpx

from affidavit import Case, Context, Limits, ToolError, tool

Parcel = Annotated[str, Limits(pattern=r"^[A-Z0-9]{4,20}$")]
_at: dict[str, str] = {}


class Tracked(TypedDict):
    parcel: str
    state: str


class Pickup(TypedDict):
    pickup: int


def configure(settings: dict[str, str]) -> None:
    """``base`` is the address of the API."""
    _at["base"] = settings["base"].rstrip("/")


def _ask(context: Context, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {context.secrets['parcels']}", "Idempotency-Key": context.key}
    try:
        # no redirects: the key would go where the other side points to
        with httpx.Client(timeout=context.seconds / 2, trust_env=False, follow_redirects=False) as client:
            answer = client.request(method, _at["base"] + path, headers=headers, json=body)
    except httpx.ConnectError as error:
        raise ToolError("the parcel service cannot be reached", happened=False, retryable=True) from error
    except httpx.HTTPError as error:
        raise ToolError("the parcel service did not answer", happened=None, retryable=True) from error
    if answer.status_code == 429:
        raise ToolError("the parcel service is busy", happened=False, retryable=True)
    if answer.status_code >= 500:
        raise ToolError("the parcel service failed", happened=None, retryable=True)
    if not answer.is_success:
        raise ToolError(f"the parcel service refuses it (HTTP {answer.status_code})", "check the parcel and the day")
    return answer.json()


@tool(effect="read", owner="logistics", secrets=("parcels",), attempts=3, outward=True)
def track(parcel: Parcel, context: Context) -> Tracked:
    """Where a parcel is."""
    found = _ask(context, "GET", f"/parcels/{parcel}")
    return {"parcel": parcel, "state": found["state"]}


@tool(effect="write", idempotency="by_key", owner="logistics", secrets=("parcels",), attempts=3, undo="cancel_pickup@1")
def order_pickup(parcel: Parcel, day: Annotated[str, Limits(pattern=r"^\d{4}-\d{2}-\d{2}$")], context: Context) -> Pickup:
    """Have a parcel picked up at the customer's on a day (2026-11-21)."""
    return {"pickup": _ask(context, "POST", "/pickups", {"parcel": parcel, "day": day})["id"]}


@tool(effect="write", idempotency="native", owner="logistics", secrets=("parcels",), attempts=3)
def cancel_pickup(pickup: Annotated[int, Limits(least=1, most=2**53 - 1)], context: Context) -> None:
    """Cancel a pickup. One that is cancelled already stays so."""
    _ask(context, "DELETE", f"/pickups/{pickup}")


# -- on trial: affidavit tool test parcels.py


class _Service(BaseHTTPRequestHandler):
    """Knows one parcel, and does each Idempotency-Key once."""

    def do_GET(self) -> None:
        self._answer(200, {"state": "at the depot"}) if self.path == "/parcels/AB1234" else self._answer(404, {})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        service, key = self.server.service, self.headers["Idempotency-Key"]  # type: ignore[attr-defined]
        with service["lock"]:
            id = service["keys"].setdefault(key, len(service["keys"]) + 1)
            service["pickups"][id] = wanted
        self._answer(201, {"id": id})

    def do_DELETE(self) -> None:
        self.server.service["pickups"].pop(int(self.path.rpartition("/")[2]), None)  # type: ignore[attr-defined]
        self._answer(200, {})

    def _answer(self, status: int, body: object) -> None:
        if not self.headers["Authorization"].startswith("Bearer canary-"):
            status, body = 401, {}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def sandbox() -> Iterator[object]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as server:
        server.daemon_threads = True
        service: dict[str, Any] = {"lock": threading.Lock(), "keys": {}, "pickups": {}}
        server.service = service  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        configure({"base": f"http://127.0.0.1:{server.server_address[1]}"})
        try:
            yield lambda: service["pickups"]
        finally:
            server.shutdown()


cases = [
    Case(track, {"parcel": "AB1234"}, result={"parcel": "AB1234", "state": "at the depot"}),
    Case(track, {"parcel": "ZZ9999"}, refused=True),
    Case(order_pickup, {"parcel": "AB1234", "day": "2026-11-23"}),
    Case(cancel_pickup, {"pickup": 7}),
]
