"""What the model servers of the tests send is what the vendors' SDKs declare: their own types and service models say so."""

from __future__ import annotations

import json
from typing import Any

import botocore.loaders
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from google.genai.types import GenerateContentResponse
from pydantic import TypeAdapter

from affidavit.testing import wire_anthropic, wire_bedrock, wire_google
from affidavit.testing.scripted_model import Call, Prompt, Reply

PROMPT = Prompt("m", (("user", "what is it"),), 100, False)
REPLIES = (
    Reply("two words"),
    Reply(""),
    Reply("both", (Call("search", '{"query": "leave"}'), Call("other", "{}", "call_2"))),
    Reply("cut short", finish="length"),
    Reply("", finish="filtered"),
)


@pytest.mark.parametrize("reply", REPLIES)
def test_anthropic(reply: Reply) -> None:
    Message.model_validate(wire_anthropic.message(PROMPT, reply), strict=True)
    one = TypeAdapter[Any](RawMessageStreamEvent)
    kinds = [one.validate_python(event).type for event in wire_anthropic.events(PROMPT, reply)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize("reply", REPLIES)
def test_google(reply: Reply) -> None:
    wire = wire_google.GoogleWire()
    bodies = [wire.whole(PROMPT, reply)]
    bodies += [event.removeprefix(b"data: ") for event in wire.pieces(PROMPT, reply)]
    for body in bodies:
        known = GenerateContentResponse.model_validate_json(body)  # forbids what it does not know
        assert known.candidates is not None


def _check(value: Any, shape: Shape) -> None:
    """``value`` is an instance of ``shape``, in kind and in names; unions hold one member."""
    match shape.type_name:
        case "structure":
            assert isinstance(shape, StructureShape)
            assert isinstance(value, dict)
            document = getattr(shape, "is_document_type", False)
            if document:
                return
            assert set(shape.required_members) <= value.keys() <= shape.members.keys()
            if getattr(shape, "is_tagged_union", False):
                assert len(value) == 1
            for name, each in value.items():
                _check(each, shape.members[name])
        case "list":
            assert isinstance(shape, ListShape)
            for each in value:
                _check(each, shape.member)
        case "string":
            assert isinstance(value, str)
            allowed = getattr(shape, "enum", None)
            assert not allowed or value in allowed
        case "integer" | "long":
            assert type(value) is int


@pytest.mark.parametrize("reply", REPLIES)
def test_bedrock(reply: Reply) -> None:
    loaded = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    service = ServiceModel(loaded)
    answer = service.operation_model("Converse").output_shape
    assert answer is not None
    _check(wire_bedrock.response(PROMPT, reply), answer)
    stream: Any = service.operation_model("ConverseStream").output_shape
    members = stream.members["stream"].members
    for name, value in wire_bedrock.events(PROMPT, reply):
        _check(value, members[name])
    with pytest.raises(AssertionError):
        _check({**wire_bedrock.response(PROMPT, reply), "unknown": 1}, answer)
    with pytest.raises(AssertionError):
        _check({**wire_bedrock.response(PROMPT, reply), "stopReason": "bored"}, answer)


def test_an_event_frame_is_read_by_botocore() -> None:
    from botocore.eventstream import EventStreamBuffer

    buffer = EventStreamBuffer()
    buffer.add_data(wire_bedrock.frame({":event-type": "x", ":message-type": "event"}, b'{"a": 1}'))
    (message,) = list(buffer)
    assert (message.headers[":event-type"], json.loads(message.payload)) == ("x", {"a": 1})
