"""An ordinary module or weight file becomes layer widths and integer weights.

torch is never imported here: the caller's module brings it along, and weight files are read with numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zk.frontend.datasets import FloatArray, IntArray
from zk.frontend.errors import ExportError
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.weights import WEIGHT_BITS

NOTE = "a Sequential of Linear, ReLU and Flatten can be proven"


@dataclass(frozen=True)
class ExportedModel:
    """Widths from input to output, and weight [d_in, d_out], bias [d_out] of every layer in turn, float64."""

    layers: tuple[int, ...]
    weights: list[FloatArray]


def export_sequential(module: Any) -> ExportedModel:
    """Read a torch.nn.Sequential of Linear and ReLU in turn, an optional Flatten first, ending with Linear.

    A Linear without bias gets zeros. Raises `ExportError` naming the module that has no integer counterpart.
    """
    weights: list[FloatArray] = []
    expects_relu = False
    if type(module).__name__ != "Sequential":
        raise ExportError(f"{type(module).__name__} is not a Sequential; {NOTE}")
    for name, layer in module.named_children():
        kind = type(layer).__name__
        if not type(layer).__module__.startswith("torch.nn.modules."):
            raise ExportError(f"module {name} ({kind}) is not a plain torch.nn layer; {NOTE}")
        if getattr(layer, "_forward_hooks", None) or getattr(layer, "_forward_pre_hooks", None):
            raise ExportError(f"module {name} ({kind}) carries forward hooks; remove them")
        if kind == "Flatten" and not weights and not expects_relu:
            if getattr(layer, "start_dim", 1) != 1 or getattr(layer, "end_dim", -1) != -1:
                raise ExportError(f"module {name}: Flatten must keep rows apart (start_dim=1, end_dim=-1)")
        elif kind == "Linear" and not expects_relu:
            bias = None if layer.bias is None else _numbers(layer.bias)
            weights += _layer(name, _numbers(layer.weight).T, bias)
            expects_relu = True
        elif kind == "ReLU" and expects_relu:
            expects_relu = False
        else:
            raise ExportError(f"module {name} ({kind}) cannot stand here; {NOTE}, Linear and ReLU in turn")
    if not weights or not expects_relu:
        raise ExportError(f"the Sequential must end with a Linear; {NOTE}")
    return _checked(weights)


def weights_from_npz(path: Path) -> ExportedModel:
    """Arrays weight1 [d_in, d_out], bias1, weight2, ...; or 0.weight [d_out, d_in], 0.bias, 2.weight ... as torch names."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise ExportError(f"weight file {path} does not exist") from None
    except Exception as error:  # numpy, zipfile and zlib each raise their own families on damaged archives
        raise ExportError(f"{path}: not a readable NPZ file of plain arrays ({type(error).__name__})") from None
    return _from_arrays(arrays, str(path))


def weights_from_safetensors(path: Path) -> ExportedModel:
    """The same names in a safetensors file."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise ExportError("safetensors is not installed; run: pip install 'assay-audit[models]'") from None
    try:
        arrays = load_file(path)
    except FileNotFoundError:
        raise ExportError(f"weight file {path} does not exist") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: not a readable safetensors file ({error})") from None
    return _from_arrays(arrays, str(path))


def quantise_weights(spec: TrainingSpec, model: ExportedModel, bits: int = WEIGHT_BITS) -> list[IntArray]:
    """Nearest integers at scale s_w in `spec.weight_shapes()` order.

    Raises `ExportError` naming layer and entry for a weight outside [-2^(bits-1), 2^(bits-1)).
    """
    if model.layers != spec.layers:
        raise ExportError(f"the model has layers {model.layers}, the run {spec.layers}")
    limit = 1 << (bits - 1)
    out = []
    for (name, _), array in zip(spec.weight_shapes(), model.weights, strict=True):
        scaled = np.floor(np.ldexp(array, spec.scales.s_w) + 0.5)
        bad = (scaled < -limit) | (scaled >= limit)
        if np.any(bad):
            index = tuple(int(i[0]) for i in np.nonzero(bad))
            raise ExportError(
                f"{name}{list(index)} = {array[index]:g} does not fit {bits} bits at scale {spec.scales.s_w}; "
                f"weights must stay within +-{limit / 2.0**spec.scales.s_w:g}"
            )
        out.append(scaled.astype(np.int64))
    return out


def _from_arrays(arrays: dict[str, Any], where: str) -> ExportedModel:
    weights: list[FloatArray] = []
    if "weight1" in arrays:
        names = [(f"weight{i}", f"bias{i}") for i in range(1, len(arrays) + 1) if f"weight{i}" in arrays]
    else:
        stems = sorted((name.removesuffix(".weight") for name in arrays if name.endswith(".weight")), key=_number_in(where))
        names = [(f"{stem}.weight", f"{stem}.bias") for stem in stems]
    used = {name for pair in names for name in pair}
    for name in arrays:
        if name not in used:
            raise ExportError(f"{where}: unexpected array {name}; name them weight1, bias1, ... or 0.weight, 0.bias, ...")
    if not names:
        raise ExportError(f"{where}: no weights; name them weight1, bias1, ... or 0.weight, 0.bias, ...")
    for weight_name, bias_name in names:
        weight = _numbers(arrays[weight_name])
        bias = _numbers(arrays[bias_name]) if bias_name in arrays else None
        weights += _layer(weight_name, weight if weight_name.startswith("weight") else weight.T, bias)
    return _checked(weights)


def _number_in(where: str) -> Any:
    def key(stem: str) -> int:
        digits = stem.rsplit(".", 1)[-1]
        if not digits.isdecimal():
            raise ExportError(f"{where}: cannot order {stem}.weight; name arrays after positions in a Sequential (0.weight)")
        return int(digits)

    return key


def _layer(name: str, weight: FloatArray, bias: FloatArray | None) -> list[FloatArray]:
    if weight.ndim != 2:
        raise ExportError(f"{name}: weight of shape {weight.shape}; a matrix is expected")
    bias = np.zeros(weight.shape[1]) if bias is None else bias
    if bias.shape != (weight.shape[1],):
        raise ExportError(f"{name}: bias of shape {bias.shape} beside a weight of shape {weight.shape}")
    for part in (weight, bias):
        if not np.all(np.isfinite(part)):
            raise ExportError(f"{name}: a weight is not finite")
    return [np.ascontiguousarray(weight), bias]


def _checked(weights: Sequence[FloatArray]) -> ExportedModel:
    widths = [weights[0].shape[0]]
    for i in range(0, len(weights), 2):
        if weights[i].shape[0] != widths[-1]:
            raise ExportError(f"layer {i // 2 + 1} takes {weights[i].shape[0]} inputs, the one before gives {widths[-1]}")
        widths.append(weights[i].shape[1])
    return ExportedModel(tuple(widths), list(weights))


def _numbers(values: Any) -> FloatArray:
    """A numpy or torch array as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ExportError(f"weights have type {array.dtype}; numbers are expected")
    return array.astype(np.float64)
