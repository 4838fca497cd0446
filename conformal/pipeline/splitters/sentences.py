"""Where sentences begin and end in English prose and lists, as spans of the text. Rules only: no model, no data."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from conformal.pipeline.splitters.vocabulary import NUMBERED, SHORTENED, STARTERS, TITLES

Span = tuple[int, int]
_ITEM = re.compile(r"[ \t]*(?:[-*•–+]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])[ \t]+(?=\S)")
_RULE = re.compile(r"(=+|-{3,}|_{3,}|\*{3,}|~{3,}|(?:- ?){3,})$")
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_WORD_BEFORE = re.compile(r"([\w.&'’-]+)$")
_OPENING = {"(": ")", "[": "]", "“": "”", "«": "»"}
MAX_DEPTH = 8


@dataclass(frozen=True)
class Block:
    """A paragraph or an item of a list; `intro` is the sentence that introduces the list, if one does. `fresh`: a heading or
    code stands before it."""

    span: Span
    item: bool = False
    intro: Span | None = None
    fresh: bool = False


def find_blocks(text: str) -> list[Block]:
    """Paragraphs and list items in order. Headings and fenced code are left out: they claim nothing."""
    blocks: list[Block] = []
    at, fenced, open_block, fresh = 0, False, False, False
    for line in text.splitlines(keepends=True):
        start, at = at, at + len(line)
        bare = line.strip()
        if bare.startswith("```"):
            fenced, open_block, fresh = not fenced, False, True
        elif _RULE.match(bare) and not fenced:
            if open_block and bare[0] in "=-" and not blocks[-1].item and "\n" not in text[blocks[-1].span[0] : start].strip():
                blocks.pop()  # the line before was a heading
            open_block, fresh = False, True
        elif fenced or not bare or bare.startswith("#"):
            open_block, fresh = False, fresh or bool(bare)
        elif open_block and (marker := _ITEM.match(line)) is None:
            blocks[-1] = replace(blocks[-1], span=(blocks[-1].span[0], start + len(line.rstrip())))
        else:
            marker = _ITEM.match(line)
            begin = start + (marker.end() if marker else len(line) - len(line.lstrip()))
            blocks.append(Block((begin, start + len(line.rstrip())), item=marker is not None, fresh=fresh))
            open_block, fresh = True, False
    return _with_intros(text, blocks)


def _with_intros(text: str, blocks: list[Block]) -> list[Block]:
    out: list[Block] = []
    intro: Span | None = None
    for place, block in enumerate(blocks):
        if block.item:
            intro = None if block.fresh else intro
            out.append(replace(block, intro=intro))
            continue
        intro = None
        following = blocks[place + 1] if place + 1 < len(blocks) else None
        if following is not None and following.item and not following.fresh and text[block.span[1] - 1] == ":":
            sentences = find_sentences(text, block.span)
            intro = sentences[-1]
            if len(sentences) == 1:
                continue
            block = replace(block, span=(block.span[0], sentences[-2][1]))
        out.append(block)
    return out


def find_sentences(text: str, span: Span) -> list[Span]:
    """The sentences of a block. Abbreviations, initials, decimals, and what stands in quotes or brackets do not end one."""
    inside = quoted_positions(text, span)
    out, start = [], span[0]
    for match in _END.finditer(text, span[0], span[1]):
        end = match.end()
        if match.start() in inside and not _closes(text, match, inside):
            continue
        if end < span[1] and not _is_end(text, match, span):
            continue
        out.append((start, end))
        start = end
        while start < span[1] and text[start].isspace():
            start += 1
    if start < span[1]:
        out.append((start, span[1]))
    return out


def drop_unfinished(text: str) -> str:
    """A text that was cut off, up to the end of its last whole sentence: the rest is no statement of its author's."""
    for block in reversed(find_blocks(text)):
        for start, end in reversed(find_sentences(text, block.span)):
            if _END.search(text, start, end) is not None and _END.fullmatch(text, _last_stop(text, start, end), end):
                return text[:end]
    return ""


def _last_stop(text: str, start: int, end: int) -> int:
    """Where the stops and closing quotes at the end of a sentence begin."""
    at = end
    while at > start and text[at - 1] in ".!?…\"'”’)]":
        at -= 1
    while at < end and text[at] not in ".!?…":
        at += 1
    return at


def quoted_positions(text: str, span: Span) -> set[int]:
    """Places inside quotes or brackets that are closed within the block; one that is never closed hides nothing."""
    hidden: set[int] = set()
    stack: list[tuple[int, str]] = []
    for at in range(span[0], span[1]):
        char = text[at]
        if stack and char == stack[-1][1]:
            hidden.update(range(stack.pop()[0], at))
        elif char in _OPENING and len(stack) < MAX_DEPTH:
            stack.append((at, _OPENING[char]))
        elif char == '"' and len(stack) < MAX_DEPTH:
            stack.append((at, '"'))
    return hidden


def _closes(text: str, match: re.Match[str], inside: set[int]) -> bool:
    """Whether the stop is the last thing inside its quotes, as in: He said "Stop." Then he left."""
    return match.end() - 1 not in inside and text[match.end() - 1] in "\"”'’"


def _is_end(text: str, match: re.Match[str], span: Span) -> bool:
    rest = text[match.end() : span[1]].lstrip()
    if not rest:
        return True
    following = rest.lstrip("\"'“‘([«*_")
    opens = following[:1].isupper() or following[:1].isdigit()
    if text[match.start() : match.end()].rstrip("\"'”’)]") != ".":
        return opens
    word = _WORD_BEFORE.search(text[max(span[0], match.start() - 30) : match.start()])
    before = word.group(1).lower().lstrip("(") if word else ""
    first = re.split(r"[^\w]", following, maxsplit=1)[0].lower()
    if before in TITLES or (before in NUMBERED and following[:1].isdigit()):
        return False
    if before in SHORTENED or re.fullmatch(r"(?:[a-z]\.)*[a-z]", before):
        return opens and first in STARTERS
    return opens
