"""Which language models there are: what a release says of one, and the adapter that speaks to it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from affidavit.adapters.models.anthropic import AnthropicModel
from affidavit.adapters.models.bedrock import BedrockModel
from affidavit.adapters.models.counting import TokenizerFile
from affidavit.adapters.models.google import GoogleModel
from affidavit.adapters.models.openai import APIS, OpenAIModel
from affidavit.adapters.models.wire import Endpoint
from affidavit.app.config import check_variable, environment
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.routes import Target
from affidavit.ports.model import ChatModel, ModelInfo

MODEL_KINDS = ("openai", "azure", "anthropic", "google", "bedrock")
_ASKED, _COUNTING = "server", ("openai", "anthropic", "google")
SCHEMAS = ("strict", "grammar", "asked")
_SDK = {
    "openai": ("openai", "openai"),
    "azure": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "google": ("google.genai", "google"),
    "bedrock": ("boto3", "bedrock"),
}
_ADDRESS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}
_LARGEST_KEY = 16_384


@dataclass(frozen=True)
class ModelSpec:
    """Which language model, as kept in a release: never a key, only where the key is.

    ``kind``: ``openai`` for OpenAI and every server that speaks its interface, else ``azure``, ``anthropic``, ``google`` or
    ``bedrock``. ``base_url`` may be left out where the vendor has one address. ``key_env`` names the environment variable that
    holds the key, ``key_file`` the file; neither: no key is sent. ``credentials`` is ``chain`` to let AWS's own SDK find its
    credentials. ``api``: ``chat`` or ``responses`` (OpenAI's two). ``schema`` says how an answer in a JSON Schema is had, as in
    ``ModelInfo``. ``local``: text sent there never leaves this machine, or what its operator counts as such; never guessed from
    the address, since a gateway on this machine may pass everything on. ``context``: tokens, 0 unknown. ``region`` is AWS's,
    ``api_version`` Azure's. ``ca_file`` holds certificates to trust instead of the system's. ``tokenizer``: ``server`` to have
    the server count a prompt's tokens, or the path of the model's ``tokenizer.json``; neither: they are estimated.
    """

    kind: str
    model: str
    base_url: str = ""
    key_env: str = ""
    key_file: str = ""
    credentials: str = ""
    api: str = "chat"
    schema: str = "strict"
    tools: bool = True
    local: bool = False
    context: int = 0
    region: str = ""
    api_version: str = ""
    ca_file: str = ""
    tokenizer: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError; a value that may be a key put in the wrong place is not shown."""
        _one_of("model kind", self.kind, MODEL_KINDS)
        _one_of("way to a schema", self.schema, SCHEMAS)
        _one_of("interface", self.api, APIS)
        _one_of("kind of credentials", self.credentials, ("", "chain"))
        if self.tokenizer == _ASKED and self.kind not in _COUNTING:
            raise UsageError(
                f"{self.kind} is not asked to count tokens", "name a tokenizer.json, or leave `tokenizer` out"
            )
        if not self.model:
            raise UsageError("a model needs its provider's name for it", "set `model`")
        if self.key_env:
            check_variable(self.key_env, "`key_env`")
        if self.kind == "azure" and not self.base_url:
            raise UsageError("azure needs `base_url`", "https://RESOURCE.openai.azure.com/openai/v1")
        if self.kind == "bedrock" and not self.region:
            raise UsageError("bedrock needs `region`", "for example eu-central-1")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSpec:
        """Raises UsageError for a setting that there is not."""
        known = {each.name for each in fields(cls)}
        unknown = sorted(value.keys() - known)
        if unknown or not {"kind", "model"} <= value.keys():
            said = f"no setting {', '.join(unknown)}" if unknown else "no `kind` or no `model`"
            raise UsageError(f"a model has {said}", f"settings: {', '.join(sorted(known))}")
        return cls(**value)


def make_model(spec: ModelSpec) -> ChatModel:
    """The model that ``spec`` names; nothing is loaded or asked yet, but the key is read. Raises UsageError where a key or an
    SDK is missing."""
    module, extra = _SDK[spec.kind]
    if importlib.util.find_spec(module.partition(".")[0]) is None or importlib.util.find_spec(module) is None:
        raise UsageError(
            f"{spec.kind} models need an SDK that is not installed", f"pip install 'affidavit[{extra}]'"
        )
    key = _model_key(spec)
    info = ModelInfo(
        provider=spec.kind,
        name=spec.model,
        schema=spec.schema,
        tools=spec.tools,
        streaming=True,
        seed=spec.kind in ("azure", "google") or (spec.kind == "openai" and spec.api == "chat"),
        local=spec.local,
        context=spec.context,
        counts=bool(spec.tokenizer),
    )
    tokenizer = TokenizerFile(spec.tokenizer) if spec.tokenizer not in ("", _ASKED) else None
    match spec.kind:
        case "anthropic":
            return AnthropicModel(_endpoint(spec, key, "x-api-key", ""), info, tokenizer)
        case "google":
            return GoogleModel(_endpoint(spec, key, "x-goog-api-key", ""), info, tokenizer)
        case "bedrock":
            return BedrockModel(
                _endpoint(spec, key),
                info,
                spec.region,
                chain=spec.credentials == "chain",
                tokenizer=tokenizer,
            )
        case "azure":
            query = {"api-version": spec.api_version} if spec.api_version else {}
            return OpenAIModel(_endpoint(spec, key, "api-key", ""), info, spec.api, query, tokenizer)
    return OpenAIModel(_endpoint(spec, key), info, spec.api, None, tokenizer)


def _endpoint(spec: ModelSpec, key: str, header: str = "Authorization", prefix: str = "Bearer ") -> Endpoint:
    aws = f"https://bedrock-runtime.{spec.region}.amazonaws.com"
    address = spec.base_url or _ADDRESS.get(spec.kind, aws)
    return Endpoint(address.rstrip("/"), key, header, prefix, spec.ca_file)


def _model_key(spec: ModelSpec) -> str:
    """The key that ``spec`` names, "" if it names none. Raises UsageError."""
    if spec.key_env and spec.key_file:
        raise UsageError("a model's key is in a variable or in a file, not both", "leave one of them out")
    if spec.key_env:
        key = environment(spec.key_env).strip()
        if not key:
            raise UsageError(f"the variable {spec.key_env} is not set", f"export {spec.key_env}=KEY")
        return key
    if not spec.key_file:
        return ""
    try:
        with Path(spec.key_file).open("rb") as file:
            data = file.read(_LARGEST_KEY + 1)
        key = data.decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the key file {spec.key_file} cannot be read", "check its path and permissions"
        ) from error
    if not key or len(data) > _LARGEST_KEY:
        raise UsageError(f"the key file {spec.key_file} holds no key", "put the key alone into it")
    return key


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"there is no {what} {value!r}", f"one of: {', '.join(known)}")


def model_at(target: Target) -> ChatModel:
    """The model that a release's ``target`` names; its ``options`` are the settings of ModelSpec. Raises ModelError."""
    try:
        said = {**target.options, "kind": target.kind, "model": target.model, "base_url": target.base_url}
        return make_model(ModelSpec.from_json({**said, "local": target.local, "region": target.region}))
    except UsageError as error:
        raise ModelError("request", f"{target.name}: {error.message}", error.hint) from error
