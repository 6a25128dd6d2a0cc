"""Telephone numbers in text that people write for people: spaced, dotted, with O for 0, or in words.

Product photos are full of innocent digits (prices, sizes, EAN codes, dates, model numbers), so a run of digits counts
only with a reason: an international prefix, a word such as "call" before it, the trunk zero of a valid national number,
or the grouping of North America.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import phonenumbers

from worker.policy.words.normalise import fold

# Tried for numbers with a trunk zero when the seller's locale names no country; together most European plans.
TRUNK_REGIONS = ("GB", "DE", "FR")
MIN_DIGITS, MAX_DIGITS = 7, 15  # 15: ITU E.164
MOST_TRAILING = 2  # numbers behind a telephone number that are told from it
CUE_REACH = 40  # characters before the digits in which "call" or "EAN" is looked for

_DIGIT_WORDS = {
    word: str(value)
    for language in (
        "zero one two three four five six seven eight nine",
        "null eins zwei drei vier funf sechs sieben acht neun",
        "zero un deux trois quatre cinq six sept huit neuf",
        "cero uno dos tres cuatro cinco seis siete ocho nueve",
    )
    for value, word in enumerate(language.split())
} | {"oh": "0", "zwo": "2", "fuenf": "5"}
_DIGIT = rf"(?:{'|'.join(sorted(_DIGIT_WORDS, key=len, reverse=True))}|\d)"
_SPELLED = re.compile(rf"\b{_DIGIT}(?:[\s,.-]{{1,3}}{_DIGIT}){{6,14}}\b")
MIN_SPELLED = 5  # digits in words, so that a row of single digits is left to the patterns for digits
_COUNTING = "01234567890123456789"
_LETTER_DIGITS = str.maketrans({"o": "0", "q": "0", "l": "1", "i": "1", "|": "1", "s": "5", "b": "8", "z": "2"})
_MOSTLY_DIGITS = re.compile(r"(?<![a-z0-9])(?=[oqlisbz|]*\d)[\doqlisbz|]{2,}(?![a-z0-9])|(?<![a-z0-9])o(?=[\s.-]*\d)")
_CANDIDATE = re.compile(r"(?<!\w)(?<!\d[.,])(?:\+\s?|\(\s?\+?\s?)?\d(?:[\s\-./()_*·•]{0,3}\d){6,16}(?!\w)")
_CUE = re.compile(
    r"\b(?:call|calls|tel|telephone|phone|ph|mobile|mob|cell|whatsapp|whats app|wa|sms|text me|viber|telegram|wechat"
    r"|fon|telefon|handy|anruf|anrufen|rufen|appelez|appeler|llama|llamar|llamanos|chiama|contact|hotline)\b"
    r"[^\d+(]{0,16}$|[☎📞📱✆]\W{0,4}$"
)
_CODE_CUE = re.compile(
    r"\b(?:ean|upc|gtin|isbn|asin|sku|art|artikel|article|item|model|ref|serial|sn|lot|batch|part|mpn|order\s(?:no|nr|number)|din|iso|no|nr)"
    r"\b[\s.:#-]*(?:no|nr|number|code)?[\s.:#-]*$"
)
_DATE = re.compile(
    r"(?:19|20)\d\d\W{1,3}\d{1,2}\W{1,3}\d{1,2}|\d{1,2}\W{1,3}\d{1,2}\W{1,3}(?:19|20)\d\d|(?:19|20)\d\d\W{1,3}(?:19|20)\d\d"
)
_DECIMALS = re.compile(r"\d{1,3}\.\d{1,2}(?:\s+\d{1,3}\.\d{1,2})+")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[. ]\d{3})+")
_NORTH_AMERICA = re.compile(r"(?:\+?1[\s.-]?)?(?:\(\s?\d{3}\s?\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}")


@dataclass(frozen=True, slots=True)
class Phone:
    """value: E.164 where the country is known, else the bare digits. start, end: characters of the text."""

    value: str
    start: int
    end: int


def find_phones(text: str, region: str | None = None) -> list[Phone]:
    """Telephone numbers in reading order. `region` is the seller's country (ISO 3166 alpha-2), if known."""
    if not _could_hold_a_number(text):
        return []
    plain, origin = _fold_with_origin(text)
    plain = _MOSTLY_DIGITS.sub(lambda match: match[0].translate(_LETTER_DIGITS), plain)
    found = []
    for match in _CANDIDATE.finditer(plain):
        before = plain[max(0, match.start() - CUE_REACH) : match.start()]
        for written in _readings(match[0]):
            if value := _telephone(written, before, region):
                end = match.start() + len(written)
                found.append(Phone(value, origin[match.start()], origin[end - 1] + 1))
                break
    for match in _SPELLED.finditer(plain):
        words = re.findall(r"[a-z]+|\d", match[0])
        digits = "".join(_DIGIT_WORDS.get(word, word) for word in words)
        if sum(word.isalpha() for word in words) >= MIN_SPELLED and not _counts(digits):
            found.append(Phone(digits, origin[match.start()], origin[match.end() - 1] + 1))
    return sorted(found, key=lambda phone: phone.start)


def region_of(locale: str | None) -> str | None:
    """The country of a locale such as "de-DE" or "fr_CH", or None."""
    match = re.fullmatch(r"[A-Za-z]{2,3}[-_](?:[A-Za-z]{4}[-_])?([A-Za-z]{2})", locale or "")
    return match[1].upper() if match else None


def _could_hold_a_number(text: str) -> bool:
    digits = sum(char.isdigit() for char in text)
    return digits >= 4 or len(text) >= 20  # seven digit words with spaces take at least 20 characters


def _fold_with_origin(text: str) -> tuple[str, list[int]]:
    """Plain reading with, for each of its characters, the position it came from."""
    if text.isascii():
        return text.lower(), list(range(len(text)))
    chars: list[str] = []
    origin: list[int] = []
    for position, char in enumerate(text):
        for plain in fold(char):
            chars.append(plain)
            origin.append(position)
    return "".join(chars), origin


def _readings(written: str) -> Iterator[str]:
    """The digits as they stand, then without what may be another number behind them ("0171 1234567 24/7")."""
    yield written
    if written.startswith(("+", "0", "(")):
        for _ in range(MOST_TRAILING):
            written = written.rpartition(" ")[0].rstrip(" -./()_*·•")
            if written:
                yield written


def _telephone(written: str, before: str, region: str | None) -> str | None:
    """The number's value, or None when the digits have no reason to be a telephone number."""
    digits = re.sub(r"\D", "", written)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return None
    international = "+" in written or before.endswith("+")
    if international or (digits.startswith("00") and not (len(digits) == 8 and _is_gtin(digits))):
        return _international(digits.removeprefix("00"))
    if _CODE_CUE.search(before):
        return None
    if _CUE.search(before):
        return _national(written, region) or digits
    if _looks_like_other_digits(written, digits):
        return None
    if _NORTH_AMERICA.fullmatch(written.strip()):
        return _national(written, "US") or digits
    if digits.startswith("0") or (region and not written.isdigit()):
        return _national(written, region)
    return None


def _looks_like_other_digits(written: str, digits: str) -> bool:
    return bool(
        _counts(digits)
        or any(pattern.fullmatch(written) for pattern in (_DATE, _DECIMALS, _THOUSANDS))
        or (len(digits) in (8, 12, 13, 14) and _is_gtin(digits))
    )


def _counts(digits: str) -> bool:
    """Up or down by one: a counting rhyme, a row of sizes, a scale."""
    return digits in _COUNTING or digits in _COUNTING[::-1]


def _is_gtin(digits: str) -> bool:
    """Check digit of EAN-8, UPC-A, EAN-13 and GTIN-14 (GS1 General Specifications, 7.9)."""
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return weighted % 10 == 0


def _international(digits: str) -> str | None:
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _national(written: str, region: str | None) -> str | None:
    """A valid national number: E.164 when the country is known, bare digits when it was only tried."""
    digits = re.sub(r"\D", "", written)
    for country in (region,) if region else TRUNK_REGIONS:
        try:
            number = phonenumbers.parse(digits, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if region else digits
    return None
