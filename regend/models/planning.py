"""Decides how a model is loaded: slots, context and threads within the memory of the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from regend import limits
from regend.config import ModelsConfig
from regend.errors import Refused
from regend.models.catalogue import InstalledModel, longest_context


@dataclass(frozen=True)
class HostPlan:
    """How a model will be loaded.

    Attributes:
        slots: conversations at the same time.
        context_tokens: of each slot.
        threads: of the processor.
        memory_bytes: estimate of what the host will hold: file, caches and work space.
    """

    model: InstalledModel
    slots: int
    context_tokens: int
    threads: int
    slots_dir: Path
    memory_bytes: int


def plan_memory(model: InstalledModel, slots: int, context_tokens: int) -> int:
    """Return the estimated bytes of a host: weights, key-value caches, work space."""
    return (
        model.size_bytes + slots * context_tokens * model.cache_bytes_per_token + 256 * limits.MIB
    )


def budget_bytes(config: ModelsConfig) -> int:
    """Return the memory that all model hosts together may use."""
    return config.memory_mb * limits.MIB or machine_memory_bytes() // 2


def plan_host(model: InstalledModel, config: ModelsConfig, slots_dir: Path) -> HostPlan:
    """Return how to load the model: its whole context, or the half of it until it fits.

    Raises:
        Refused: `model_too_large`.
    """
    slots, budget = max(1, config.slots), budget_bytes(config)
    context = longest_context(model)
    least = min(context, limits.MODEL_LEAST_CONTEXT_TOKENS)
    while plan_memory(model, slots, context) > budget and context > least:
        context = max(context // 2, least)
    memory = plan_memory(model, slots, context)
    if memory > budget:
        raise Refused(
            "model_too_large",
            f"The model “{model.name}” needs about {memory // limits.MIB} MB, and models may "
            f"use {budget // limits.MIB} MB.",
            hint="Choose a smaller model, or raise models.memory_mb in config.toml.",
            field="model",
        )
    threads = config.threads or physical_cores()
    return HostPlan(model, slots, context, threads, slots_dir, memory)


@cache
def physical_cores() -> int:
    """Return the number of physical cores that this process may use, at least one."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    logical = len(usable) if usable else os.cpu_count() or 1
    cores = set()
    for cpu in usable or ():
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package = (topology / "physical_package_id").read_text().strip()
            cores.add((package, (topology / "core_id").read_text().strip()))
        except OSError:
            return logical
    return len(cores) or logical


def machine_memory_bytes() -> int:
    """Return the memory of the machine in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 1024 * limits.MIB
