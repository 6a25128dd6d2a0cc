"""Contact details in every disguise we know, and innocent print that looks like them: seeded, with the right answer.

The disguises were written down before the patterns were measured on them; what a real photo adds (misread letters) is
not in here, so the figures say what the patterns know and not what a camera sees.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """kind: phone, url, email, handle; or empty for innocent print. family: the disguise or the sort of print."""

    kind: str
    family: str
    text: str


NAMES = (
    "joe",
    "bestdeals",
    "lena.k",
    "shop_24",
    "maria99",
    "kicks.outlet",
    "luxbags",
    "tom_and_co",
    "nails4u",
    "vintage",
)
DOMAINS = ("cheapbags", "luxkicks", "my-watches", "megadeal24", "nordmode")
ENDINGS = ("com", "de", "fr", "es", "shop", "net")
PROVIDERS = ("gmail.com", "outlook.com", "gmx.de", "web.de", "yahoo.fr", "hotmail.es")
BEFORE = ("", "", "Questions? ", "NEW ", "order: ", "best price ", "Bestellung ", "commandez ", "pedidos ")
AFTER = ("", "", " !", " 24/7", " now", ", free shipping")
WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    "fr": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    "es": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
}
MOBILES = ("01711234567", "01512345678", "07911123456", "0612345678", "0698765432")
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


def _grouped(digits: str, chance: random.Random, gap: str) -> str:
    cut = chance.randint(3, 5)
    return gap.join((digits[:cut], digits[cut : cut + 3], digits[cut + 3 :]))


def _phone(chance: random.Random) -> tuple[str, str]:
    digits = chance.choice(MOBILES)
    language = chance.choice(tuple(WORDS))
    ways: dict[str, str] = {
        "international": f"+49 {_grouped(digits[1:], chance, ' ')}" if digits.startswith("01") else "+33 6 12 34 56 78",
        "double zero": f"0049 {_grouped('1711234567', chance, '-')}",
        "after a word": chance.choice(("Tel.", "call", "WhatsApp", "Telefon:")) + f" {_grouped(digits, chance, ' ')}",
        "spaced out": " ".join(digits),
        "full width": digits.translate(WIDE),
        "keycaps": "".join(f"{digit}\ufe0f\u20e3" for digit in digits),
        "letters for digits": f"call {digits.replace('0', 'O').replace('1', 'l')}",
        "in words": " ".join(WORDS[language][int(digit)] for digit in digits),
        "some in words": " ".join(WORDS["en"][int(d)] if place % 3 else d for place, d in enumerate(digits)),
        "North America": f"({chance.randint(201, 989)}) 555-0{chance.randint(100, 199)}",
        "trunk zero": _grouped(
            chance.choice(("01711234567", "0301234567")), chance, chance.choice((" ", "-", "/", "."))
        ),
    }
    return chance.choice(tuple(ways.items()))


def _email(chance: random.Random) -> tuple[str, str]:
    name, provider = chance.choice(NAMES), chance.choice(PROVIDERS)
    host, ending = provider.split(".")
    ways = {
        "plain": f"{name}@{provider}",
        "spaced": f"{name} @ {host} . {ending}",
        "brackets": f"{name} (at) {host} (dot) {ending}",
        "square brackets": f"{name}[at]{host}[.]{ending}",
        "in words": f"{name} at {host} dot {ending}",
        "in capitals": f"{name} AT {host} DOT {ending}".upper(),
        "in Spanish": f"{name} arroba {host} punto {ending}",
        "in French": f"{name} arobase {host} point {ending}",
        "in German": f"{name} (ät) {host} punkt {ending}",
        "comma for dot": f"{name}@{host},{ending}",
        "full width": f"{name}＠{host}．{ending}",
    }
    return chance.choice(tuple(ways.items()))


def _url(chance: random.Random) -> tuple[str, str]:
    domain, ending = chance.choice(DOMAINS), chance.choice(ENDINGS)
    ways = {
        "plain": f"{domain}.{ending}",
        "www": f"www.{domain}.{ending}",
        "capitals": f"WWW.{domain.upper()}.{ending.upper()}",
        "https": f"https://{domain}.{ending}/x?a=1",
        "hxxp": f"hxxps://{domain}.{ending}",
        "brackets": f"{domain}(dot){ending}",
        "in words": f"{domain} dot {ending}",
        "spaced com": f"{domain} . com",
        "spaced www": f"w w w . {domain} . {ending}",
        "messenger": chance.choice((f"t.me/{domain}", "wa.me/491711234567", f"m.me/{domain}", f"fb.com/{domain}")),
        "shortener": chance.choice(("bit.ly/3xYzA", f"linktr.ee/{domain}", f"discord.gg/{domain}")),
        "look-alikes": f"www.{domain}.{ending}".replace("a", "а").replace("e", "е"),
    }
    return chance.choice(tuple(ways.items()))


def _handle(chance: random.Random) -> tuple[str, str]:
    name = chance.choice(NAMES)
    telling = chance.choice([one for one in NAMES if not one.isalpha()])
    ways = {
        "at sign": f"@{name}",
        "network and colon": f"{chance.choice(('insta', 'Instagram', 'TikTok', 'Telegram', 'FB', 'snapchat'))}: {name}",
        "network and at sign": f"{chance.choice(('IG', 'tiktok', 'telegram'))} @{name}",
        "network and name": f"{chance.choice(('insta', 'IG', 'telegram', 'snapchat', 'wechat', 'tiktok'))} {telling}",
        "network id": f"{chance.choice(('WeChat', 'LINE', 'kik', 'snap'))} ID: {telling}",
        "weak network": f"{chance.choice(('snap', 'line', 'sc', 'tg'))}: {telling}",
        "arrow": f"instagram -> {name}",
        "tag": f"discord: {name}#1234",
    }
    return chance.choice(tuple(ways.items()))


def _innocent(chance: random.Random) -> tuple[str, str]:
    number = chance.randint
    ways: dict[str, str] = {
        "price": f"{number(1, 999)}.{number(10, 99)} € statt {number(1, 2)}.{number(100, 999)},00 €",
        "prices": f"${number(1, 9)},{number(100, 999)}.00 $ {number(10, 99)}.{number(10, 99)}",
        "sizes": " ".join(str(size) for size in range(number(30, 36), number(40, 46))),
        "size run": f"size {number(34, 38)}/{number(39, 44)} - {number(45, 48)}",
        "EAN-13": _ean(chance, 13),
        "EAN-8": _ean(chance, 8),
        "ISBN": "ISBN 978-3-16-148410-0",
        "date": f"{number(10, 28)}.{number(10, 12)}.20{number(20, 29)}",
        "ISO date": f"20{number(20, 29)}-{number(10, 12)}-{number(10, 28)} {number(10, 23)}:{number(10, 59)}",
        "years": f"{number(1950, 1999)}-{number(2000, 2026)}",
        "model": chance.choice(("RTX", "HX", "Model", "SKU", "Ref.")) + f" {number(1000, 9999)}-{number(100, 999)}",
        "lot": f"LOT {number(20200101, 20291231)} EXP {number(10, 12)}/20{number(25, 30)}",
        "measures": f"{number(10, 99)} x {number(100, 200)} x {number(10, 99)} cm",
        "volume": f"{number(100, 999)} ml / {number(1, 9)}.{number(1, 9)} fl oz",
        "power": f"{number(100, 240)}V~ {number(50, 60)} Hz {number(1000, 9999)} mAh",
        "screen": "3840x2160 1920x1080 144 Hz",
        "counting": chance.choice(("one two three four five six seven eight", "1 2 3 4 5 6 7 8 9 10", "0123456789")),
        "sentence end": chance.choice(
            ("100% cotton.Do not bleach", "soft touch. shop now", "Wash at 30.in cold water")
        ),
        "offer": f"{number(2, 5)} @ {number(5, 9)}.99 each",
        "network as a word": chance.choice(("signal red", "line art print", "snap button 4 pcs", "facebook blue")),
        "product words": chance.choice(("at home (dot pattern)", "polka dot dress", "point de croix", "meet at noon")),
        "version": f"v{number(1, 9)}.{number(0, 9)}.{number(0, 9)}, USB {number(2, 3)}.{number(0, 2)}",
        "serial": f"S/N {number(100000, 999999)}{number(100000, 999999)}",
    }
    return chance.choice(tuple(ways.items()))


def _ean(chance: random.Random, length: int) -> str:
    digits = [chance.randint(0, 9) for _ in range(length - 1)]
    total = sum(digit * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return "".join(map(str, digits)) + str(-total % 10)


KINDS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "phone": _phone,
    "email": _email,
    "url": _url,
    "handle": _handle,
    "": _innocent,
}


def contact_cases(count: int, seed: int = 1) -> list[Case]:
    """`count` texts of each kind and as many innocent ones."""
    chance = random.Random(seed)
    cases = []
    for kind, make in KINDS.items():
        for _ in range(count):
            family, text = make(chance)
            around = (chance.choice(BEFORE), chance.choice(AFTER)) if kind else ("", "")
            cases.append(Case(kind, family, f"{around[0]}{text}{around[1]}"))
    return cases
