"""The prompts sent to models, with versions and digests: another wording is another pipeline, and voids a certificate.

Texts that come from elsewhere stand in a prompt as JSON strings, so that they cannot pass for its instructions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PromptText:
    """A template; `{name}` stands for a value given as JSON."""

    name: str
    version: int
    template: str

    @property
    def digest(self) -> str:
        """SHA-256 of name, version and text."""
        return hashlib.sha256(f"{self.name}\n{self.version}\n{self.template}".encode()).hexdigest()

    def fill(self, **values: Any) -> str:
        """The prompt. Values are put in once and never read as templates."""
        parts = self.template.split("{")
        out = [parts[0]]
        for part in parts[1:]:
            name, closed, rest = part.partition("}")
            out.append(f"{json.dumps(values[name], ensure_ascii=False)}{rest}" if closed and name in values else "{" + part)
        return "".join(out)

    def describe(self) -> dict[str, Any]:
        return {"prompt": self.name, "version": self.version, "digest": self.digest}


SPLIT = PromptText(
    "split",
    1,
    """Cut the answer below into claims: short statements of fact, each understandable alone, not overlapping, and each
small enough for one person to check. Name people and things instead of writing "he" or "it". Add nothing that the answer does
not say. If the answer says one thing only, write one claim.
Write one JSON object a line and nothing else: {"claim": "TEXT"}, or {"claim": "TEXT", "premises": [NUMBERS]} when a claim
rests on earlier claims (numbered from 0).

Question (as a JSON string): {question}
Answer (as a JSON string): {answer}
Claims:
""",
)

SUPPORT = PromptText(
    "support",
    1,
    """For every numbered claim say what the text says of it: 1 if the text supports the claim, -1 if the text contradicts it, 0
if the text says nothing of it. Use the text alone, not what you know.
Write one JSON object a line and nothing else, one for every claim: {"claim": NUMBER, "support": 1, 0 or -1}

Text (as a JSON string): {text}
Claims (as a JSON list, the first is number 0): {claims}
Judgements:
""",
)

P_TRUE = PromptText(
    "p-true",
    1,
    """Question (as a JSON string): {question}
Proposed statement (as a JSON string): {claim}
Is the proposed statement:
(A) True
(B) False
The proposed statement is: (""",
)

MERGE = PromptText(
    "merge",
    1,
    """Write a fluent answer to the question that uses only the facts provided: all of them, and nothing else. Add no fact, no
number, no reason and no judgement of your own, and do not combine facts into new ones. Write plain text.

Question (as a JSON string): {question}
Facts (as a JSON list): {facts}
Answer:
""",
)
