"""The English words that the rules of the splitter go by, lower case."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words("dr mr mrs ms prof rev hon gen col lt sgt capt gov sen rep st mt ft cf vs e.g i.e viz ed eds")
"""Never the end of a sentence: something always follows."""

NUMBERED = _words("no nos fig figs vol vols p pp ca approx ch sec art")
"""Not the end of a sentence where a number follows."""

SHORTENED = _words(
    """inc ltd co corp jr sr etc al dept est bros u.s u.k u.n a.m p.m b.c a.d ph.d m.d
    jan feb mar apr jun jul aug sep sept oct nov dec"""
)
"""The end of a sentence only if what follows begins like one."""

STARTERS = _words(
    """the a an in on at it he she they we i this that these those there his her its their after before during since when while if
    although however but and as by from for with according both many most some several one two"""
)

AUXILIARIES = _words(
    """is are was were has have had does do did can could will would shall should may might must became becomes won wrote began
    begins made makes took takes left led leads met held holds lies lay stood stands fell rose grew gave gives went goes came
    comes said says ran runs built sold bought taught spent sent lost found kept contains contain includes include remains remain
    lives live works"""
)
"""Verbs that are finite as they stand; others are known by -ed."""

PRONOUNS = _words(
    """he she it they we i you him her them his hers its their theirs this that these those such who which whose himself herself
    itself themselves both neither either another others former latter"""
)

GOVERNS = _words(
    """if unless whether that because since although though when whenever until before after once despite neither nor either or
    between said says claimed claims denied denies believed believes thought thinks reported argued suggested suggests alleged
    allegedly according supposedly possibly perhaps maybe probably not never no hardly might may could would"""
)
"""Words whose reach may go past a comma: a sentence that has one before the joint is not cut there."""

NOT_SUBJECTS = _words(
    """then also later thereby thus hence therefore often usually even still especially particularly including not never to for
    with by from in on at as of there here one"""
)

DETERMINERS = _words("the a an some many most several all each every no two three four five six seven eight nine ten")
