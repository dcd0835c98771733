"""What the daemon's children find in their environment: what they need to run, and nothing else.

The daemon is often started from a person's shell, whose variables hold keys of other services.
A worker, a model host and an extractor have no use for those; pip has one for proxies and indexes.
"""

from __future__ import annotations

from collections.abc import Mapping

_NEEDED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        # Windows starts hardly any program without these.
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT"),
        *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE"),
        *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONHASHSEED"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
        *("PYTHONDEVMODE", "PYTHONFAULTHANDLER", "PYTHONMALLOC"),
        *("NVIDIA_VISIBLE_DEVICES", "VK_ICD_FILENAMES", "VK_DRIVER_FILES"),
    }
)
# Only families in which nobody keeps a key: there are a NVIDIA_API_KEY and a PYTHONANYWHERE_TOKEN.
_NEEDED_FAMILIES = (
    *("REGEND_", "LC_", "DYLD_"),
    *("OMP_", "GOMP_", "KMP_", "GGML_", "CUDA_", "HIP_", "ROCR_", "HSA_"),  # llama.cpp's
)
_OF_PIP = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
        *("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"),  # where pip's own settings lie
    }
)


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a child that stays on this device is given of the daemon's environment."""
    return {name: value for name, value in environment.items() if _is_needed(name.upper())}


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what pip is given: besides, how this person's machine reaches a package index."""
    return for_child(environment) | {
        name: value
        for name, value in environment.items()
        if name.upper() in _OF_PIP or name.upper().startswith("PIP_")
    }


def _is_needed(name: str) -> bool:
    return name in _NEEDED or name.startswith(_NEEDED_FAMILIES)
