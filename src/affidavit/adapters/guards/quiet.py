"""Libraries that report home unless told not to are told so before they are imported."""

from __future__ import annotations

import os

SILENT = {
    "DO_NOT_TRACK": "1",
    "NEMO_GUARDRAILS_NO_USAGE_STATS": "1",
    "OTEL_SDK_DISABLED": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Variables by which these libraries, and those they bring along, are kept from reporting and from fetching tables."""


def silence() -> None:
    """Set them in this process, over whatever was there. It reads nothing: what is configured is the business of
    ``app/config.py``.

    ``OTEL_SDK_DISABLED`` also ends traces that the process itself would send through the OpenTelemetry SDK; affidavit's
    own do not
    use it.
    """
    os.environ.update(SILENT)
