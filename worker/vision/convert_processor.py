"""Processor of an original Florence-2 checkpoint to the native one: words, added tokens, image settings.

Whitelisted like the configuration (convert_config.py): the words and the named image settings are read, nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import BartTokenizer, CLIPImageProcessor, Florence2Processor

from worker.vision.checkpoint import RENEW, image_tokens, read_json
from worker.vision.convert_config import Json, refused
from worker.vision.pieces import PLACES

# Added to BART's words by the original's processor each time it starts; their order is their numbers.
ADDED_TOKENS = (
    *("<od>", "</od>", "<ocr>", "</ocr>"),
    *(f"<loc_{place}>" for place in range(PLACES)),
    *("<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"),
    *("<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"),
    *("<proposal>", "</proposal>", "<poly>", "</poly>", "<and>"),
)
IMAGE_TOKEN = "<image>"  # noqa: S105  (a word, not a secret)

_IMAGE_KEYS = (
    "do_resize",
    "size",
    "resample",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)

# For other readers of the checkpoint; our own parser needs none of it. Words that phrase grounding never grounds are
# pronouns, determiners and words for the picture itself.
_PRONOUNS = (
    "I me mine my myself you your yours yourself yourselves he him his himself she her hers herself it its itself "
    "we us our ours ourselves they them their theirs themselves one oneself this that these those who whom whose "
    "which what all another any anybody anyone anything each everybody everyone everything few many nobody none "
    "several some somebody someone something"
)
POST_PROCESSING: dict[str, Json] = {
    "ocr": {"PATTERN": "(.+?)" + r"<loc_(\d+)>" * 8, "AREA_THRESHOLD": 0.0},
    "phrase_grounding": {
        "banned_grounding_tokens": [
            *_PRONOUNS.split(),
            *("each other", "one another", "the", "a", "an", "the image", "image", "images"),
            *("a group", "other objects", "lots", "a set"),
        ]
    },
    "pure_text": {},
    "description_with_bboxes": {},
    "description_with_polygons": {},
    "polygons": {},
    "bboxes": {},
    "description_with_bboxes_or_polygons": {},
}

# Untyped in transformers.
_Tokenizer: Any = BartTokenizer
_Images: Any = CLIPImageProcessor
_Processor: Any = Florence2Processor


def native_processor(folder: Path, tokenizer: Any, config: Any) -> Any:
    """Florence2Processor with the checkpoint's image settings. config: the native one. Raises CheckpointRefused."""
    return _Processor(_image_processor(folder, config), tokenizer, post_processor_config=POST_PROCESSING)


def native_tokenizer(folder: Path) -> Any:
    """BART's words, the added tokens, `<image>` last.

    From the words alone: tokenizer.json, or vocab.json with merges.txt; of tokenizer_config.json only the longest
    length. Raises CheckpointRefused.
    """
    files = ["tokenizer.json"] if (folder / "tokenizer.json").is_file() else ["vocab.json", "merges.txt"]
    with tempfile.TemporaryDirectory() as name:
        words = Path(name)
        for file in files:
            if not (folder / file).is_file():
                raise refused(folder, f"There is no {file}, so the words are unknown.", RENEW)
            (words / file).write_bytes((folder / file).read_bytes())
        try:
            made = _Tokenizer.from_pretrained(words)
            made.add_special_tokens(
                {"additional_special_tokens": list(ADDED_TOKENS)}, replace_extra_special_tokens=False
            )
            made.save_pretrained(words)
            (words / "tokenizer_config.json").unlink()
            # Only now, so that it is the last word: the weights have rows for all others.
            return _Tokenizer.from_pretrained(
                words, extra_special_tokens={"image_token": IMAGE_TOKEN}, model_max_length=_longest(folder)
            )
        except Exception as error:  # tokenizers raises plain Exception on a damaged file
            raise refused(folder, f"{files[0]} cannot be used ({error}).", RENEW) from error


def _longest(folder: Path) -> int:
    """Tokens in a prompt and an answer, as the tokenizer's own configuration says."""
    usual = 1024
    if not (folder / "tokenizer_config.json").is_file():
        return usual
    length = read_json(folder / "tokenizer_config.json").get("model_max_length", usual)
    return length if isinstance(length, int) and 0 < length < 1_000_000 else usual


def _image_processor(folder: Path, config: Any) -> Any:
    if not (folder / "preprocessor_config.json").is_file():
        raise refused(folder, "There is no preprocessor_config.json.", RENEW)
    given = read_json(folder / "preprocessor_config.json")
    size = given.get("size")
    if not isinstance(size, dict) or set(size) != {"height", "width"}:
        raise refused(
            folder,
            f"preprocessor_config.json has size {size!r}; Florence-2 squashes pictures to a height and a width.",
            "Use the preprocessor_config.json that belongs to these weights.",
        )
    if given.get("do_center_crop"):
        raise refused(
            folder,
            "preprocessor_config.json has do_center_crop: cropping would move every place.",
            "Use the preprocessor_config.json that belongs to these weights.",
        )
    try:
        made = _Images(
            **{key: given[key] for key in _IMAGE_KEYS if key in given}, do_center_crop=False, do_convert_rgb=True
        )
        made(images=[Image.new("RGB", (8, 8))], return_tensors="pt")  # its values are looked at only when it works
    except Exception as error:
        raise refused(folder, f"preprocessor_config.json cannot be used ({error}).", RENEW) from error
    made.image_seq_length = given.get("image_seq_length") or image_tokens(config.vision_config, size)
    return made
