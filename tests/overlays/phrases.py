"""What is written on photos: contact details, and print that looks a little like them and is harmless."""

from __future__ import annotations

import random
from collections.abc import Callable

import phonenumbers

from tests.worker.policy.titles import innocent_titles

_FIRST = ("lux", "nice", "best", "royal", "city", "urban", "blue", "golden", "top", "happy")
_SECOND = ("bags", "mode", "watch", "shoes", "outlet", "style", "store", "deals", "case", "home")
_ENDINGS = ("com", "shop", "de", "fr", "es", "net", "store", "co.uk")
_REGIONS = ("DE", "FR", "GB", "US", "ES", "IT", "NL", "PL", "IN", "CN")
# Where a number without a word before it can be told: by its trunk zero, or by North America's grouping.
_TELLING = ("DE", "FR", "GB", "US")
_CUES = ("Tel. ", "Call ", "WhatsApp: ", "Tél. ", "Handy ", "Llámanos ")

Said = tuple[str, str]  # the text, and which variant it is


def phone(rng: random.Random) -> Said:
    """A valid number of ten countries: international, national, after a word, with letters for digits."""
    way = rng.choice(("international", "00", "national", "after a word", "dotted", "O for 0"))
    region = rng.choice(_TELLING if way in ("national", "dotted", "O for 0") else _REGIONS)
    number = _number(region, rng)
    form = phonenumbers.PhoneNumberFormat
    if way == "international":
        return phonenumbers.format_number(number, form.INTERNATIONAL), way
    if way == "00":
        return "00" + phonenumbers.format_number(number, form.INTERNATIONAL).removeprefix("+"), way
    national = phonenumbers.format_number(number, form.NATIONAL)
    if way == "after a word":
        return rng.choice(_CUES) + national, way
    if way == "dotted":
        return national.replace("(", "").replace(")", "").replace(" ", ".").replace("-", "."), way
    return (national.replace("0", "O", 1) if way == "O for 0" else national), way


def _number(region: str, rng: random.Random) -> phonenumbers.PhoneNumber:
    """The plan's example with its last three digits changed, so that it stays valid and is nobody's by choice."""
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    example = phonenumbers.example_number_for_type(region, rng.choice(kinds))
    for _ in range(20):
        national = example.national_number // 1000 * 1000 + rng.randrange(1000)
        number = phonenumbers.PhoneNumber(
            example.country_code, national, italian_leading_zero=example.italian_leading_zero
        )
        if phonenumbers.is_valid_number(number):
            return number
    return example


def email(rng: random.Random) -> Said:
    if rng.random() < 0.25:
        return f"{_shop(rng)} (at) gmail (dot) com", "disguised"
    return f"{rng.choice(('info', 'sales', 'order', rng.choice(_FIRST)))}@{_shop(rng)}.{rng.choice(_ENDINGS)}", "plain"


def url(rng: random.Random) -> Said:
    way = rng.choice(("www", "bare", "https"))
    start = {"www": "www.", "bare": "", "https": "https://"}[way]
    return f"{start}{_shop(rng)}.{rng.choice(_ENDINGS)}", way


def handle(rng: random.Random) -> Said:
    name = f"{_shop(rng, rng.choice(('_', '.')))}{rng.randrange(10, 99)}"
    way = rng.choice(("@", "network: name", "network @name"))
    network = rng.choice(("Instagram", "Telegram", "TikTok", "Facebook"))
    return {"@": f"@{name}", "network: name": f"{network}: {name}", "network @name": f"{network} @{name}"}[way], way


def _shop(rng: random.Random, between: str = "") -> str:
    return f"{rng.choice(_FIRST)}{between}{rng.choice(_SECOND)}"


CONTACTS: dict[str, Callable[[random.Random], Said]] = {"phone": phone, "e-mail": email, "web": url, "handle": handle}


def price(rng: random.Random) -> str:
    whole, cents = rng.randrange(2, 400), rng.choice(("99", "50", "00", "95"))
    return rng.choice((f"{whole},{cents} €", f"${whole}.{cents}", f"£{whole}.{cents}", f"EUR {whole}.{cents}"))


def size(rng: random.Random) -> str:
    a, b, c = (rng.randrange(5, 90) for _ in range(3))
    return rng.choice((f"{a} x {b} x {c} cm", f"EU {a % 12 + 36} / US {b % 9 + 4}.5", f"{a}0 ml", f"S  M  L  XL  {a}"))


def article(rng: random.Random) -> str:
    digits = f"{rng.randrange(10_000_000, 99_999_999)}"
    return rng.choice((f"Art.-Nr. {digits}", f"REF {digits[:6]}", f"LOT {digits}", f"Model {digits[:4]}-{digits[4:6]}"))


def date(rng: random.Random) -> str:
    day, month, year = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(2019, 2030)
    return rng.choice((f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{day}/{month}/{year}"))


def ean(rng: random.Random) -> str:
    digits = f"4{rng.randrange(10**11):011}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


def words(rng: random.Random) -> str:
    """The first words of the title of some honest goods, in one of four languages."""
    _, title = rng.choice(_titles())
    return " ".join(title.split()[:3])[:28]


def _titles() -> list[tuple[str, str]]:
    return list(innocent_titles(400, seed=11))


HARMLESS: dict[str, Callable[[random.Random], str]] = {
    "price": price,
    "size": size,
    "article number": article,
    "date": date,
    "EAN digits": ean,
    "ordinary words": words,
}
