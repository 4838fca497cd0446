"""Numba back end of the bulk kernels; same names and results as `zk.kernels.reference`."""

from zk.kernels.cpu.contract import combine_rows, contract, contract_each, contract_each_k, contract_f, contract_k
from zk.kernels.cpu.field import (
    f_add,
    f_mul,
    f_sub,
    k_add,
    k_axpy,
    k_mul,
    k_scale,
    k_scale_f,
    k_sub,
    k_sum,
    to_field,
)
from zk.kernels.cpu.gkr import gkr_fold, gkr_round, gkr_up
from zk.kernels.cpu.ntt import encode, evaluate_points, intt, ntt
from zk.kernels.cpu.sha256 import sha256
from zk.kernels.cpu.sumcheck import (
    eq_halve,
    fold,
    fold_f,
    round2,
    round2_f,
    round3,
    round3_ff,
)
from zk.kernels.cpu.tables import eq_table, outer, outer_add

__all__ = [
    "combine_rows",
    "contract",
    "contract_each",
    "contract_each_k",
    "contract_f",
    "contract_k",
    "encode",
    "eq_halve",
    "eq_table",
    "evaluate_points",
    "f_add",
    "f_mul",
    "f_sub",
    "fold",
    "fold_f",
    "gkr_fold",
    "gkr_round",
    "gkr_up",
    "intt",
    "k_add",
    "k_axpy",
    "k_mul",
    "k_scale",
    "k_scale_f",
    "k_sub",
    "k_sum",
    "ntt",
    "outer",
    "outer_add",
    "round2",
    "round2_f",
    "round3",
    "round3_ff",
    "sha256",
    "to_field",
]
