"""Names: what a tensor of Microsoft's original Florence-2 is called in transformers' own class.

The original wraps every layer in a `PreNorm` (`norm`, `fn`) and keeps the projector's parts at the top; the native
class names the same layers plainly. Source: `modeling_florence2.py` as published with microsoft/Florence-2-large, and
the state dict of `Florence2ForConditionalGeneration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The only tensor that is no module's: a bare parameter of (width in, width out), a Linear's weight lies the other way.
PROJECTION = "image_projection"
# Zeros that no training touches; the native class adds nothing to its logits.
LOGITS_BIAS = "language_model.final_logits_bias"
# One matrix under four names. A file holds one of them or several.
EMBEDDINGS = (
    "language_model.model.shared.weight",
    "language_model.model.encoder.embed_tokens.weight",
    "language_model.model.decoder.embed_tokens.weight",
    "language_model.lm_head.weight",
)
NATIVE_EMBEDDING = "model.language_model.shared.weight"

ADAPTER_PREFIX = "base_model.model."  # what PEFT writes before every name

_PROJECTOR = "model.multi_modal_projector."
_HOMES = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("image_proj_norm.", f"{_PROJECTOR}image_proj_norm."),
    ("image_pos_embed.", f"{_PROJECTOR}image_position_embed."),
    ("visual_temporal_embed.", f"{_PROJECTOR}visual_temporal_embed."),
)
_NATIVE_HOMES = ("model.language_model.", "model.vision_tower.", "model.multi_modal_projector.", "lm_head.")
_UNWRAPPED = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"(\.convs\.\d+)\.proj\.", r"\1.conv."),
        (r"\.(?:window|channel)_attn\.norm\.", ".norm1."),
        (r"\.ffn\.norm\.", ".norm2."),
        (r"\.((?:window|channel)_attn)\.fn\.", r".\1."),
        (r"\.ffn\.fn\.net\.", ".ffn."),
        (r"\.(conv[12])\.fn\.dw\.", r".\1."),
    )
)


def native_name(name: str) -> str:
    """The native name of one tensor. Raises ValueError for a name that the original layout does not have."""
    if name == PROJECTION:
        return f"{_PROJECTOR}image_projection.weight"
    for original, native in _HOMES:
        if name.startswith(original):
            return _plain(native + name.removeprefix(original))
    raise ValueError(f"{name!r} is no name of the original Florence-2 layout.")


def native_adapter_names(names: Iterable[str]) -> dict[str, str]:
    """Each name of a LoRA's tensors with its native name; an adapter that is native already keeps its names.

    A LoRA lies on modules (`<module>.lora_A.weight`), so the same renaming serves; shapes stay as they are. Raises
    ValueError for names of neither layout, of both at once, or of the bare projection, which no LoRA can lie on.
    """
    given = list(names)
    bare = [name.removeprefix(ADAPTER_PREFIX) for name in given]
    native = [name.startswith(_NATIVE_HOMES) for name in bare]
    if all(native):
        return {name: name for name in given}
    if any(native):
        raise ValueError(
            f"The adapter mixes two layouts: {given[native.index(True)]!r} is native, "
            f"{given[native.index(False)]!r} is not."
        )
    if PROJECTION in bare:
        raise ValueError(f"{PROJECTION!r} is a bare matrix of the original, not a layer that a LoRA can lie on.")
    return {name: ADAPTER_PREFIX + native_name(plain) for name, plain in zip(given, bare, strict=True)}


def _plain(name: str) -> str:
    for pattern, plain in _UNWRAPPED:
        name = pattern.sub(plain, name)
    return name
