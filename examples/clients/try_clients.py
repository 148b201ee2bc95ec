"""Ask affidavit with other people's clients of OpenAI's API: `python try_clients.py http://127.0.0.1:8080/v1 aff_key_…`.

Those that are installed are tried, the others are named: langchain-openai, llama-index-llms-openai-like, pydantic-ai-slim[openai].
Each prints the whole answer and the same in pieces. The exit status is 1 if one of them fails, 2 if none is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

QUESTION = "How many days of annual leave do I have?"


def langchain(base_url: str, key: str) -> Iterator[str]:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=base_url, api_key=key, model="affidavit", max_retries=0)
    yield str(chat.invoke([("system", "Answer briefly."), ("human", QUESTION)]).content)
    yield "".join(str(piece.content) for piece in chat.stream(QUESTION))
    newer = ChatOpenAI(
        base_url=base_url, api_key=key, model="affidavit", max_retries=0, use_responses_api=True
    )
    yield "".join(part["text"] for part in newer.invoke(QUESTION).content)


def llamaindex(base_url: str, key: str) -> Iterator[str]:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(
        model="affidavit", api_base=base_url, api_key=key, is_chat_model=True, max_retries=0
    )
    asked = [ChatMessage(role="user", content=QUESTION)]
    yield str(llm.chat(asked).message.content)
    yield "".join(piece.delta or "" for piece in llm.stream_chat(asked))


def pydantic_ai(base_url: str, key: str) -> Iterator[str]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=base_url, api_key=key)
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        agent: Any = Agent(kind("affidavit", provider=provider))
        yield str(agent.run_sync(QUESTION).output)
        with agent.run_stream_sync(QUESTION) as streamed:
            yield "".join(streamed.stream_text(delta=True))


CLIENTS: dict[str, tuple[str, Callable[[str, str], Iterator[str]]]] = {
    "LangChain": ("langchain_openai", langchain),
    "LlamaIndex": ("llama_index.llms.openai_like", llamaindex),
    "Pydantic AI": ("pydantic_ai", pydantic_ai),
}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main(base_url: str, key: str) -> int:
    tried, failed = 0, 0
    for name, (module, ask) in CLIENTS.items():
        if not installed(module):
            print(f"{name}: not installed")
            continue
        tried += 1
        answers = list(ask(base_url, key))
        same = len(set(answers)) == 1 and bool(answers[0])
        failed += not same
        print(f"{name}: {'the same each time' if same else 'NOT THE SAME'}: {answers}")
    return 2 if not tried else int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
