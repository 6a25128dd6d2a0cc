"""Contact details in text: telephone numbers, web addresses, e-mail addresses and names on social networks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from worker.policy.words.normalise import fold
from worker.policy.words.phones import find_phones

# Endings that are hardly ever the next word of a sentence, so they count without "www." before them.
_ENDING = (
    "com|net|org|info|biz|shop|store|online|site|web|app|dev|io|xyz|club|top|vip|link|click|buy|sale|market|page"
    "|eu|de|fr|es|nl|pl|uk|ru|cn|br|ca|au|jp|kr|ch|se|dk|fi|cz|pt|ie|tr|ro|hu|gr|ua|tv|ly|cc|ws"
)
# Endings that are also words or units ("wash at 30.in case"): only after "http", "www." or before a path.
_ANY_ENDING = f"{_ENDING}|at|be|in|is|it|me|no|so|to|us|am|my|pro|one|ee|gg|bio|gl|mx|ar"
_DOT_WORD = r"(?:dot|punkt|point|punto)"
_DOT = rf"(?:\s?[.。．]\s?|\s?[(\[{{]\s?(?:\.|{_DOT_WORD})\s?[)\]}}]\s?|\s(?:dot|punkt)\s)"
_TIGHT_DOT = rf"(?:[.。．]|\s?[(\[{{]\s?(?:\.|{_DOT_WORD})\s?[)\]}}]\s?|\s(?:dot|punkt)\s)"
_AT = r"(?:\s?[@＠]\s?|\s?[(\[{]\s?(?:at|@|a|ät|arroba|arobase)\s?[)\]}]\s?)"
_AT_WORD = r"\s(?:at|arroba|arobase|klammeraffe)\s"
_MAIL_DOT = rf"(?:[.。．]|\s?[(\[{{]\s?(?:\.|{_DOT_WORD})\s?[)\]}}]\s?|\s{_DOT_WORD}\s)"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PATH = r"(?:/[^\s<>\"']*)?"

_MAILBOX = r"[a-z0-9][a-z0-9._+-]{0,63}"
# Their names alone say that an address is meant, so that "joe@gmail,com" and "joe at gmail com" count.
_PROVIDER = (
    r"(?:gmail|googlemail|hotmail|outlook|yahoo|icloud|gmx|web|proton|protonmail|aol|orange|wanadoo|mail|yandex)"
)
_EMAIL = re.compile(
    rf"{_MAILBOX}{_AT}{_LABEL}(?:{_DOT}{_LABEL}){{0,3}}{_DOT}(?:{_ANY_ENDING})\b"
    rf"|{_MAILBOX}{_AT_WORD}{_LABEL}(?:{_MAIL_DOT}{_LABEL}){{0,3}}{_MAIL_DOT}(?:{_ENDING})\b"
    rf"|{_MAILBOX}(?:{_AT}|{_AT_WORD}){_PROVIDER}(?:\s?,\s?|\s)(?:com|de|fr|es|net|me|ch|at)\b"
)
_URL = re.compile(
    rf"\bh(?:tt|xx)ps?\s?:\s?/\s?/\s?[^\s<>\"']+"
    rf"|\b(?:www|w\sw\sw){_DOT}{_LABEL}(?:{_DOT}{_LABEL}){{0,3}}?{_DOT}(?:{_ANY_ENDING})\b{_PATH}"
    rf"|\bwww\s{_LABEL}\s(?:com|net|org|shop|de|fr|es)\b"
    rf"|(?<![\w@.-]){_LABEL}(?:{_TIGHT_DOT}{_LABEL}){{0,3}}?{_TIGHT_DOT}(?:{_ENDING})\b(?![.-]?\w){_PATH}"
    rf"|(?<![\w@.-])[a-z0-9-]{{3,63}}(?:\s?\.\s?com|\s\.\s(?:net|org|shop|de)|\s(?:punto|point)\s(?:com|net|org))\b{_PATH}"
    rf"|(?<![\w@.-]){_LABEL}\.(?:{_ANY_ENDING})/[^\s<>\"']+"
)
_NETWORK = (
    r"(?:instagram|insta|ig|facebook|fb|tiktok|tik\stok|telegram|snapchat|twitter|wechat|weixin|vk|discord|kik|whatsapp"
    r"|pinterest|youtube)"
)
_WEAK_NETWORK = r"(?:line|snap|sc|signal|viber|skype|threema|tg|wa|yt)"  # also words, or letters on any label
_NAME = r"[a-z_][a-z0-9_.]{2,29}"
# A name that no sentence has: letters with a digit, underscore or dot among them.
_TELLING_NAME = r"(?=[a-z0-9_.]{0,29}[a-z])(?=[a-z_.]{0,29}[0-9_]|[a-z0-9_]{1,29}\.[a-z])[a-z0-9_][a-z0-9_.]{2,29}"
_POINTER = r"(?::|=|/|@|->|→|➜|👉)"
_HANDLE = re.compile(
    rf"(?<![\w@.])@(?P<at>{_NAME})(?!\w)"
    rf"|\b{_NETWORK}(?:\s(?:id|name|user|account|konto|compte|cuenta))?\s?{_POINTER}{{1,3}}\s?@?\s?(?P<net>{_NAME})(?![\w#])"
    rf"|\b{_NETWORK}(?:\s(?:id|name|user|account|konto|compte|cuenta))?\s(?P<told>{_TELLING_NAME})(?![\w/#])"
    rf"|\b{_WEAK_NETWORK}(?:\sid\s?{_POINTER}?|\s?{_POINTER})\s?@?(?P<weak>{_TELLING_NAME})(?![\w#])"
    r"|\bdiscord\W{1,3}(?P<tag>[a-z0-9_.]{2,32}#\d{4})(?!\d)"
)
_DISGUISED_DOT = re.compile(rf"\s?[(\[{{]\s?(?:{_DOT_WORD}|\.)\s?[)\]}}]\s?|\s{_DOT_WORD}\s|[。．]")
_DISGUISED_AT = re.compile(rf"\s?[(\[{{]\s?(?:at|a|ät|@|arroba|arobase)\s?[)\]}}]\s?|{_AT_WORD}")
_MAIL_SIGNS = ("@", "(", "[", "{", " at ", " arroba ", " arobase ", " klammeraffe ")
_WEB_SIGNS = (".", "。", "dot", "punkt", "punto", "point", "www ")


@dataclass(frozen=True, slots=True)
class Contact:
    """kind: phone, url, email or handle. value: normalised. text: as written."""

    kind: str
    value: str
    text: str
    start: int
    end: int


def find_contacts(text: str, region: str | None = None) -> list[Contact]:
    """Contact details in reading order; a stretch counts once, as the first of email, url, handle and phone."""
    # Folding by character can change lengths, so offsets are kept by folding only what keeps its length.
    plain = text.lower() if text.isascii() else "".join(f if len(f := fold(char)) == 1 else char for char in text)
    found: list[Contact] = []
    if any(sign in plain for sign in _MAIL_SIGNS):
        found += _matches("email", _EMAIL, plain, text)
    if any(sign in plain for sign in _WEB_SIGNS) or "://" in plain.replace(" ", ""):
        found += _matches("url", _URL, plain, text)
    found += _matches("handle", _HANDLE, plain, text)
    found += [
        Contact("phone", phone.value, text[phone.start : phone.end], phone.start, phone.end)
        for phone in find_phones(text, region)
    ]
    return sorted(_once(found), key=lambda contact: contact.start)


def _matches(kind: str, pattern: re.Pattern[str], plain: str, text: str) -> Iterable[Contact]:
    for match in pattern.finditer(plain):
        written = text[match.start() : match.end()].rstrip(" .,;!")
        value = match[str(match.lastgroup)] if kind == "handle" else _address(match[0])
        if value:
            yield Contact(kind, value.rstrip("."), written, match.start(), match.start() + len(written))


def _address(written: str) -> str:
    """A web or e-mail address without the disguise: "shop (dot) com" becomes "shop.com"."""
    value = _DISGUISED_DOT.sub(".", written)
    value = _DISGUISED_AT.sub("@", value)
    value = re.sub(r"^www\s(\S+)\s", r"www.\1.", value)
    value = re.sub(rf"(@\s?{_PROVIDER})(?:\s?,\s?|\s)(?=\w)", r"\1.", value)
    return re.sub(r"\s+", "", value).rstrip(".,;!")


def _once(found: Iterable[Contact]) -> list[Contact]:
    kept: list[Contact] = []
    for contact in found:
        if not any(contact.start < other.end and other.start < contact.end for other in kept):
            kept.append(contact)
    return kept
