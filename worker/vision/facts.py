"""Facts about a verified checkpoint, for people: what it is made of, and the papers that came with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from worker.vision.florence import Verified
from worker.vision.tensors import types_of

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LICENCE_LINE = re.compile(r"^license:\s*['\"]?([^'\"\n]+)", re.MULTILINE)
_TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)
_LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt")


def facts(verified: Verified) -> dict[str, Any]:
    """Plain values that JSON takes. Sizes in bytes, lengths in tokens, resolution in pixels."""
    checkpoint, config = verified.checkpoint, verified.config
    width, height = verified.resolution
    return {
        "model": verified.identity,
        "path": str(checkpoint.folder),
        "digest": checkpoint.digest,
        "weights_digest": checkpoint.weights_digest,
        "parameters": verified.parameters,
        "vocabulary": len(verified.processor.tokenizer),
        "resolution": f"{width}x{height}",
        "image_tokens": verified.processor.num_image_tokens,
        "positions": config.text_config.max_position_embeddings,
        "tower": tower(config.vision_config),
        "text": text(config.text_config),
        "weights_dtype": sorted(types_of(checkpoint)),
        "bytes": sum(file.stat().st_size for file in checkpoint.folder.iterdir() if file.is_file()),
        "card": card(checkpoint.folder),
        "licence": licence(checkpoint.folder),
        "manifest": checkpoint.manifest,
        "unread": list(checkpoint.unread),
    }


def tower(vision: Any) -> list[dict[str, int]]:
    """The vision tower's stages: blocks, width, attention heads and the stride before it."""
    stages = zip(vision.depths, vision.embed_dim, vision.num_heads, vision.patch_stride, strict=True)
    return [
        {"blocks": blocks, "width": width, "heads": heads, "stride": stride} for blocks, width, heads, stride in stages
    ]


def text(config: Any) -> dict[str, int]:
    """The language model's layers, width and attention heads."""
    return {
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "width": config.d_model,
        "heads": config.encoder_attention_heads,
    }


def card(folder: Path) -> str | None:
    """The title of the model card, README.md; None without one."""
    title = _TITLE.search(_read(folder / "README.md"))
    return title[1].strip() if title else None


def licence(folder: Path) -> str | None:
    """What the card's front matter calls the licence, else the first line of the licence file; None without either."""
    front = _FRONT_MATTER.match(_read(folder / "README.md"))
    line = _LICENCE_LINE.search(front[1]) if front else None
    if line:
        return line[1].strip()
    for name in _LICENCE_FILES:
        lines = _read(folder / name).strip().splitlines()
        if lines:
            return lines[0].strip()
    return None


def _read(file: Path) -> str:
    """A paper's text; nothing of one that is not there. Papers are for people: what is no text is no error."""
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
