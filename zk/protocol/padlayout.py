"""Where every pad lives in the pad tableau (PROTOCOL 5.2): a function of the schedule."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.params import PadProfile
from zk.protocol.schedule import Schedule

N_BLINDING_ROWS = 5  # B_ldt, L0, L1, G0, G1
Cell = tuple[int, int]  # (K-row of the tableau, slot)


@dataclass(frozen=True)
class PadLayout:
    """`home[pad]` is a cell; `triples[k]` the cells of X, Y, Z of product k; `copies` are cells that must be equal."""

    profile: PadProfile
    n_single_rows: int
    n_groups: int
    home: tuple[Cell, ...]
    triples: tuple[tuple[Cell, Cell, Cell], ...]
    copies: tuple[tuple[Cell, Cell], ...]

    @property
    def n_rows(self) -> int:
        return N_BLINDING_ROWS + self.n_single_rows + 3 * self.n_groups


def pad_layout(schedule: Schedule) -> PadLayout:
    """Pads used in products live where they are first used; the others fill the P rows in schedule order."""
    profile = schedule.pad_profile
    in_products = {slot for pair in schedule.products for slot in pair}
    n_single = schedule.n_scalars - len(in_products)
    n_single_rows, n_groups = -(-n_single // profile.l), -(-len(schedule.products) // profile.l)
    first_group = N_BLINDING_ROWS + n_single_rows
    home: dict[int, Cell] = {}
    for position, slot in enumerate(slot for slot in range(schedule.n_scalars) if slot not in in_products):
        home[slot] = (N_BLINDING_ROWS + position // profile.l, position % profile.l)
    triples, copies = [], []
    for k, pair in enumerate(schedule.products):
        group, at = divmod(k, profile.l)
        x, y, z = ((first_group + 3 * group + part, at) for part in range(3))
        for cell, slot in ((x, pair[0]), (y, pair[1])):
            if slot in home:
                copies.append((cell, home[slot]))
            else:
                home[slot] = cell
        triples.append((x, y, z))
    ordered = tuple(home[slot] for slot in range(schedule.n_scalars))
    return PadLayout(profile, n_single_rows, n_groups, ordered, tuple(triples), tuple(copies))
