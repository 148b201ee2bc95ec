"""Which model, where its key is, and that the key shows nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from affidavit.app.modelspec import ModelSpec, make_model
from affidavit.domain.errors import ModelError, UsageError
from affidavit.testing.model_conformance import ask
from affidavit.testing.wire_openai import ScriptedModel

SECRET = "sk-proj-Very-Secret-0123456789"


def test_a_spec_goes_to_json_and_back() -> None:
    spec = ModelSpec("openai", "m", "http://localhost:8080/v1", key_env="KEY", local=True, context=4096)
    assert ModelSpec.from_json(json.loads(json.dumps(spec.as_json()))) == spec


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_a_vendor_with_one_address_needs_no_other(kind: str) -> None:
    model = make_model(ModelSpec(kind, "m"))
    assert (model.info.provider, model.info.name, model.info.local) == (kind, "m", False)
    model.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "openia"},
        {"model": ""},
        {"schema": "hoped"},
        {"api": "completions"},
        {"key_env": SECRET},
        {"credentials": "mine"},
        {"kind": "azure"},
        {"kind": "bedrock"},
        {"key_file": "/nowhere/key"},
        {"key_env": "AFFIDAVIT_NOT_SET"},
        {"base_url": "ftp://x"},
        {"base_url": f"https://user:{SECRET}@host/v1"},
        {"base_url": f"https://host/v1?key={SECRET}"},
        {"base_url": "https://"},
    ],
)
def test_what_is_wrong_is_said_without_a_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        make_model(ModelSpec(**{"kind": "openai", "model": "m", **wrong}))
    assert caught.value.hint
    assert SECRET not in str(caught.value.as_dict())


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="api_key"):
        ModelSpec.from_json({"kind": "openai", "model": "m", "api_key": SECRET})


def test_a_key_comes_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    monkeypatch.setenv("MY_KEY", SECRET)
    for spec in (ModelSpec("openai", "m", key_env="MY_KEY"), ModelSpec("openai", "m", key_file=str(file))):
        model = make_model(spec)
        assert SECRET not in repr(model) + repr(vars(model)) + repr(spec) + json.dumps(spec.as_json())
        model.close()
    with pytest.raises(UsageError, match="not both"):
        make_model(ModelSpec("openai", "m", key_env="MY_KEY", key_file=str(file)))
    for bad in ("", "two words", "line\nline", "x" * 20_000):
        file.write_text(bad)
        with pytest.raises(UsageError):
            make_model(ModelSpec("openai", "m", key_file=str(file)))


@pytest.mark.network
@pytest.mark.enable_socket
def test_the_key_is_used_and_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level(0)
    with ScriptedModel(key=SECRET) as server:
        model = make_model(ModelSpec("openai", "m", server.url, key_env="MY_KEY"))
        assert model.complete(ask("say x")).text == "x"
        server.key = "other"
        with pytest.raises(ModelError) as caught:
            model.complete(ask("say x"))
        model.close()
    assert server.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain!r} {vars(chain)!r}"
        chain = chain.__cause__ or chain.__context__
    assert SECRET not in caplog.text


def test_nothing_heavy_is_loaded_until_a_model_is_asked() -> None:
    code = (
        "import sys; import affidavit.entrypoints.cli; from affidavit.app.modelspec import ModelSpec, make_model; "
        "make_model(ModelSpec('openai', 'm')); "
        "print([m for m in ('openai', 'anthropic', 'google.genai', 'boto3', 'httpx2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
