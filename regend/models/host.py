"""The model host: llama.cpp in a process of its own, so that a native abort kills nothing else.

Started as `python -m regend.models.host regend model NAME`, so that it shows in `ps`. The first
line of its stdin is a JSON object with everything it needs, the key among it: nothing secret is
in the arguments or the environment. It answers one JSON line on stdout when it serves, then stays
silent. When its stdin ends, so does it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from typing import Any
from urllib.parse import urlsplit

from regend.errors import BadInput, Failed, RegendError

_CPU_BATCH_TOKENS = 64
_GPU_BATCH_TOKENS = 512


def main(argv: list[str]) -> int:
    """Serve one model until stdin ends; return the exit code.

    Args:
        argv: `["regend", "model", NAME]`; the settings come on stdin.
    """
    settings = json.loads(sys.stdin.readline())
    os.umask(0o077)  # saved slots hold what people wrote
    # Libraries may write to stdout; the one line that the parent reads must stay alone on it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        ready = _serve(settings)
    except RegendError as error:
        print(json.dumps({"error": error.to_dict()}), file=answers, flush=True)
        return 1
    print(json.dumps(ready), file=answers, flush=True)
    while sys.stdin.read(4096):
        pass
    # llama.cpp's threads may be deep in a prefill: leave without waiting for them.
    os._exit(0)


def engine() -> Any:
    """Return llama.cpp.

    Raises:
        Failed: `model_engine_broken`; it, or a library of the system that it needs, is not here.
    """
    try:
        import xllamacpp  # heavy: only who needs it loads it
    except (ImportError, OSError) as error:
        hint = "Install regend anew."
        if "libgomp" in str(error):
            hint = (
                "Install the system's OpenMP library. Debian, Ubuntu: sudo apt install libgomp1; "
                "Fedora: sudo dnf install libgomp."
            )
        message = f"llama.cpp, which runs the models, cannot be loaded: {error}."
        raise Failed("model_engine_broken", message, hint=hint) from error
    return xllamacpp


def _serve(settings: dict[str, Any]) -> dict[str, Any]:
    """Load the model, start the server in its own threads and say how to reach it."""
    xllamacpp = engine()
    parameters = _parameters(xllamacpp, settings)
    try:
        server = xllamacpp.Server(parameters)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise Failed(
            "model_load_failed",
            f"llama.cpp could not load the model: {error}.",
            hint="Pull the model again, or use one that this version of llama.cpp knows.",
        ) from error
    globals()["_server"] = server  # lives as long as the process
    return {
        "port": urlsplit(server.listening_address).port,
        "build": f"xllamacpp {xllamacpp.__version__}",
        "machine": _machine(xllamacpp.get_system_info(), settings["threads"]),
    }


def _parameters(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    """Return llama.cpp's parameters; everything that could reach beyond this device is off."""
    if settings["slots"] < 1 or settings["threads"] < 1:
        raise BadInput("model_settings_invalid", "A model host needs a slot and a thread.")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["path"]
    parameters.model_alias = {settings["name"]}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [settings["api_key"]]
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.offline = True
    parameters.slot_save_path = os.path.join(settings["slots_dir"], "")
    parameters.n_parallel = settings["slots"]
    parameters.n_ctx = settings["context_tokens"] * settings["slots"]
    parameters.kv_unified = False  # each slot has its own context, whatever the others hold
    parameters.ctx_shift = False  # overflow is an error, never silent truncation
    parameters.fit_params = False
    # A processor prefills no faster in larger batches, and between two of them the server answers:
    # other slots decode on, and a closed stream stops.
    batch = _GPU_BATCH_TOKENS if _has_gpu(xllamacpp) else _CPU_BATCH_TOKENS
    parameters.n_batch = parameters.n_ubatch = batch
    parameters.cpuparams.n_threads = settings["threads"]
    parameters.cpuparams_batch.n_threads = settings["threads"]
    # A second prompt cache would restore states that a saved slot knows nothing of.
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    parameters.slot_prompt_similarity = 0.0
    parameters.embedding = settings["embeds"]
    parameters.warmup = False
    parameters.verbosity = -1
    return parameters


def _has_gpu(xllamacpp: Any) -> bool:
    return any(device["name"] != "CPU" for device in xllamacpp.get_device_info())


def _machine(system: str, threads: int) -> str:
    """Return what the last bits of a result depend on besides model and build."""
    features = hashlib.sha256(system.encode()).hexdigest()[:12]
    return f"{platform.system()} {platform.machine()} {features} threads={threads}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
