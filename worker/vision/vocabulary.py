"""Vocabulary: the tokenizer as the engine needs it; prompts to token numbers, generated token numbers to pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.vision.pieces import MARKS, PLACES, Piece, mark_piece, place_piece, text_piece


class Vocabulary:
    """Token numbers of one checkpoint's tokenizer."""

    def __init__(self, tokenizer: Any, image_tokens: int, positions: int) -> None:
        """image_tokens: how many one image takes; positions: how many tokens the encoder can hold in all."""
        self._tokenizer = tokenizer
        self._room = positions - image_tokens - 2
        self._image = [tokenizer.image_token_id] * image_tokens
        self._first: int = tokenizer.bos_token_id
        self._last: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id
        self._places = {tokenizer.convert_tokens_to_ids(f"<loc_{place}>"): place for place in range(PLACES)}
        added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
        self._marks = {number: content for number, content in added.items() if content in MARKS}
        self._dropped = set(tokenizer.all_special_ids) | set(added)

    def encode(self, prompt: str) -> list[int]:
        """Image tokens, start, prompt, end. A prompt too long for the encoder is cut at its end."""
        body: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"][: self._room]
        # The phrase cannot hold it (prompts.clean_phrase); one more image token would break every row of the batch.
        body = [number for number in body if number != self._image[0]]
        return [*self._image, self._first, *body, self._last]

    def spellings(self, texts: Sequence[str], place: int | None = None) -> list[list[tuple[int, ...]]]:
        """Of each text the token paths by which the decoder may write it: start, text, end, and the same with a space
        before the text, because which of the two a checkpoint writes depends on how its training data were joined.

        place: 0..999; texts may also be followed by this place token, after which they count as written.

        A text has one path when the space is lost in tokenization. Raises ValueError for a text that is empty or holds
        special tokens.
        """
        for text in texts:
            if not text.strip():
                raise ValueError("An answer that may be chosen must have words; leave the empty one out.")
        plain = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        spaced = self._tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]
        ends = [self._last] if place is None else [self._last, self._tokenizer.convert_tokens_to_ids(f"<loc_{place}>")]
        return [self._paths(text, bodies, ends) for text, *bodies in zip(texts, plain, spaced, strict=True)]

    def _paths(self, text: str, bodies: Sequence[Sequence[int]], ends: Sequence[int]) -> list[tuple[int, ...]]:
        if any(number in self._dropped for body in bodies for number in body):
            raise ValueError(f"An answer that may be chosen holds a special token: {text!r}. Take it out.")
        return list(dict.fromkeys((self._first, *body, end) for body in bodies for end in ends))

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        """Cut generated tokens; neighbouring text tokens are decoded together, so that letters of several bytes
        stay whole. `Piece.steps` index `tokens`."""
        pieces: list[Piece] = []
        start = 0
        for step, number in enumerate(tokens):
            piece = self._special(number, step)
            if piece is None and number not in self._dropped:
                continue
            self._close(pieces, tokens, start, step)
            start = step + 1
            if piece is not None:
                pieces.append(piece)
        self._close(pieces, tokens, start, len(tokens))
        return pieces

    def _special(self, number: int, step: int) -> Piece | None:
        if number in self._places:
            return place_piece(self._places[number], (step, step + 1))
        if number in self._marks:
            return mark_piece(self._marks[number], (step, step + 1))
        return None

    def _close(self, pieces: list[Piece], tokens: Sequence[int], start: int, end: int) -> None:
        if start == end:
            return
        text = self._tokenizer.decode(
            list(tokens[start:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        pieces.append(text_piece(text, (start, end)))
