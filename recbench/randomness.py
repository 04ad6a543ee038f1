"""Counter-based randomness: every stream is named by its seed, its purpose and its counters."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a whole number in [0, 2**63) that depends on the seed, the purpose and the counters alone."""
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator: ``generator(seed, "negatives", epoch)`` gives the same stream at any time."""
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
