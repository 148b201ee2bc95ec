"""CloudEvents to a webhook on loopback, read with the official SDK."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.receiver import Post, Receiver, receiving

from affidavit.adapters.cloudevents import WebhookFollower
from affidavit.adapters.post import address, retry_after
from affidavit.domain.errors import FollowerError
from affidavit.domain.events import EventKind
from affidavit.events.merkle import leaf_hash
from affidavit.ports.follower import Handed
from affidavit.testing.clock import START, FixedClock
from affidavit.testing.follower_conformance import (
    ORIGIN,
    FollowerConformance,
    MemoryLog,
    Outside,
    handed,
    log_of_runs,
)

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def events(posts: Sequence[Post]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for post in posts:
        value = json.loads(post.body)
        out += value if isinstance(value, list) else [value]
    return out


class WebhookOutside:
    def __init__(self, receiver: Receiver, structured: bool) -> None:
        self.receiver = receiver
        self.structured = structured

    def follower(self) -> WebhookFollower:
        return WebhookFollower(self.receiver.url, FixedClock().now, SECRET, structured=self.structured)

    def received(self) -> list[str]:
        return [e["id"] for e in events(self.receiver.posts)]

    def expected(self, events: Sequence[Handed]) -> list[str]:
        return [f"{ORIGIN}:{e.position}" for e in events]


class TestBatched(FollowerConformance):
    @pytest.fixture
    def outside(self, receiver: Receiver) -> Outside:
        return WebhookOutside(receiver, structured=False)


def test_structured_events_are_posted_one_by_one(receiver: Receiver) -> None:
    outside = WebhookOutside(receiver, structured=True)
    log = MemoryLog(log_of_runs(1))
    log.drive(outside.follower(), outside.follower().capabilities.batch)
    assert outside.received() == outside.expected(log.events)
    assert len(receiver.posts) == len(log.events)


@pytest.mark.parametrize("structured", [False, True])
def test_the_official_sdk_reads_them(receiver: Receiver, structured: bool) -> None:
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    log = MemoryLog(log_of_runs(1))
    follower = WebhookOutside(receiver, structured).follower()
    log.drive(follower, follower.capabilities.batch)
    said = "cloudevents" if structured else "cloudevents-batch"
    assert {p.headers["content-type"] for p in receiver.posts} == {f"application/{said}+json; charset=utf-8"}
    for sent, event in zip(events(receiver.posts), log.events, strict=True):
        read = JSONFormat().read(CloudEvent, json.dumps(sent))
        assert (read.get_id(), read.get_source()) == (f"{ORIGIN}:{event.position}", ORIGIN)
        assert read.get_type() == f"io.affidavit.{event.kind}"
        assert read.get_subject() == (event.run or None)
        assert round(read.get_time().timestamp() * 1e6) == event.at  # type: ignore[union-attr]  # it has one
        data = read.get_data()
        assert isinstance(data, dict)
        assert leaf_hash(data["header"].encode()).hex() == data["leaf"]


def test_the_signature_is_that_of_standard_webhooks(receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(1))
    log.drive(WebhookOutside(receiver, structured=False).follower(), 5, batches=1)
    (post,) = receiver.posts
    stamp, id = post.headers["webhook-timestamp"], post.headers["webhook-id"]
    assert stamp == str(START // 1_000_000)
    wanted = hmac.new(b"k" * 32, f"{id}.{stamp}.".encode() + post.body, hashlib.sha256).digest()
    assert post.headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()


def test_a_request_is_bounded(receiver: Receiver) -> None:
    facts: dict[str, int | str] = {"journey": "ask", "release": "ab"}
    log = MemoryLog([handed(n, EventKind.RUN_STARTED, facts, body="x" * 100_000) for n in range(20)])
    outside = WebhookOutside(receiver, structured=False)
    log.drive(outside.follower(), 20)
    assert outside.received() == outside.expected(log.events)
    assert len(receiver.posts) == 4
    assert all(len(post.body) < 2**20 for post in receiver.posts)


def test_bodies_leave_only_when_they_are_there(receiver: Receiver) -> None:
    facts: dict[str, int | str] = {"journey": "ask", "release": "ab"}
    log = MemoryLog(
        [
            handed(0, EventKind.RUN_STARTED, facts, "run-a"),
            handed(1, EventKind.RUN_STARTED, facts, "run-b", body={"question": "walrus\u2028?"}),
        ]
    )
    log.drive(WebhookOutside(receiver, structured=False).follower(), 5)
    first, second = events(receiver.posts)
    assert "body" not in first["data"]
    assert second["data"]["body"] == {"question": "walrus\u2028?"}


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (500, True),
        (503, True),
        (429, True),
        (408, True),
        (0, True),
        (400, False),
        (404, False),
        (401, False),
        (302, False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(receiver: Receiver, status: int, retryable: bool) -> None:
    receiver.answers.append((status, {"Location": "http://127.0.0.1:1/"} if status == 302 else {}, b"secret"))
    follower = WebhookOutside(receiver, structured=False).follower()
    log = MemoryLog(log_of_runs(1))
    with pytest.raises(FollowerError) as caught:
        log.drive(follower, 5)
    assert caught.value.retryable is retryable
    assert "secret" not in caught.value.message
    assert log.position == -1
    follower.close()


def test_the_receivers_wish_to_wait_is_kept(receiver: Receiver) -> None:
    receiver.answers.append((503, {"Retry-After": "7"}, b""))
    with pytest.raises(FollowerError) as caught:
        MemoryLog(log_of_runs(1)).drive(WebhookOutside(receiver, structured=False).follower(), 5)
    assert caught.value.wait == 7


def test_retry_after() -> None:
    assert retry_after("120", 0) == 120
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 90) == 0
    for nonsense in ("", "soon", "-1", "1e9", "²"):
        assert retry_after(nonsense, 0) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host/",
        "host:80",
        "https://user:pass@host/",
        "https://host/#x",
        "http://",
        "http://h:99999/",
        "http://h\n/",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(FollowerError) as caught:
        address(url)
    assert "pass" not in caught.value.message.replace("password", "")


def test_the_path_of_an_address_is_not_shown() -> None:
    found = address("https://hooks.example:8443/services/T0/SECRET?token=SECRET")
    assert found.place == "https://hooks.example:8443"
    assert found.private
    assert not address("http://hooks.example/").private
    assert address("http://[::1]:4318/").private


@pytest.mark.parametrize("secret", ["short", "whsec_" + "!" * 40])
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(FollowerError) as caught:
        WebhookFollower("http://localhost/", FixedClock().now, secret)
    assert "!!!" not in caught.value.message


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(FollowerError) as caught:
        WebhookFollower("http://localhost/", FixedClock().now, headers={"Authorization": "tok\nen"})
    assert "tok" not in caught.value.message + caught.value.hint
