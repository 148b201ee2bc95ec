"""Chat over any server that speaks OpenAI's interface: OpenAI, Azure, vLLM, Ollama, llama.cpp, gateways.

Two formats: chat completions, which all of them have, and responses. https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from affidavit.adapters.models import faults, openai_chat, openai_responses
from affidavit.adapters.models.counting import AROUND, TokenizerFile
from affidavit.adapters.models.frame import Adapter, mapping, sequence, tokens
from affidavit.adapters.models.wire import PLACEHOLDER, Endpoint
from affidavit.ports.model import ChatRequest, ChatResult, Delta, ModelInfo

if TYPE_CHECKING:
    from openai import OpenAI

APIS = ("chat", "responses")
_OWN_HOSTS = (".openai.com", ".azure.com")


class OpenAIModel(Adapter):
    """``info.name`` at ``endpoint``. ``api``: ``chat`` or ``responses``. ``query`` goes with every request (Azure's
    ``api-version``). Loads the SDK at the first call."""

    def __init__(
        self,
        endpoint: Endpoint,
        info: ModelInfo,
        api: str = "chat",
        query: Mapping[str, str] | None = None,
        tokenizer: TokenizerFile | None = None,
    ) -> None:
        super().__init__(endpoint, info, tokenizer)
        self._tokenize = f"{endpoint.base_url.removesuffix('/v1')}/tokenize"
        self._format = openai_responses if api == "responses" else openai_chat
        self._query = dict(query or {})
        # OpenAI's own newer models refuse `max_tokens`; many other servers know nothing else
        self._newer = endpoint.host.endswith(_OWN_HOSTS)
        self._lock = threading.Lock()
        self._made: OpenAI | None = None

    def close(self) -> None:
        with self._lock:
            self._made = None
        super().close()

    def _complete(self, request: ChatRequest) -> ChatResult:
        body = self._format.body(request, self._info, newer=self._newer)
        answer = self._sdk().post(self._format.PATH, cast_to=object, body=body)
        result: ChatResult = self._format.result(mapping(answer, "JSON object"), self._key)
        return result

    def _pieces(self, request: ChatRequest) -> Iterator[Delta]:
        from openai import Stream  # noqa: PLC0415 - 0.3 s, and an extra

        body = self._format.body(request, self._info, newer=self._newer, stream=True)
        events = self._sdk().post(
            self._format.PATH, cast_to=object, body=body, stream=True, stream_cls=Stream[object]
        )
        gathered = self._format.Gathered(self._key)
        for event in events:
            piece = gathered.add(mapping(event, "JSON object"))
            if piece:
                yield Delta(piece)
        yield Delta("", gathered.result())

    def _count(self, request: ChatRequest) -> int:
        """By ``/tokenize`` beside the interface, as llama.cpp (``content``, answers ``tokens``) and vLLM (``prompt``, answers
        ``count`` too) have it, message by message."""
        total = 0
        for message in request.messages:
            body = {"model": self._info.name, "content": message.content, "prompt": message.content}
            answer = mapping(self._sdk().post(self._tokenize, cast_to=object, body=body), "JSON object")
            told = answer.get("count")
            if told is None and "tokens" not in answer:
                raise faults.unreadable("has no tokens")
            total += AROUND + (
                len(sequence(answer["tokens"], "list `tokens`")) if told is None else tokens(told)
            )
        return total

    def _sdk(self) -> OpenAI:
        from openai import OpenAI  # noqa: PLC0415 - see _pieces

        with self._lock:
            if self._made is None:
                self._made = OpenAI(
                    api_key=PLACEHOLDER,
                    admin_api_key=PLACEHOLDER,
                    organization="",
                    project="",
                    base_url=self._wire.endpoint.base_url,
                    max_retries=0,
                    timeout=None,
                    default_query=self._query,
                    http_client=self._wire.client,
                )
            return self._made

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from openai import OpenAIError  # noqa: PLC0415 - see _pieces

        return (OpenAIError,)
