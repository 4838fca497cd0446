"""Modules and weight files become widths and integers; anything else is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.zk.execution_cases import make_case
from zk.frontend.errors import ExportError
from zk.frontend.torch_export import ExportedModel, export_sequential, quantise_weights, weights_from_npz


class _Module:
    """Stands in for torch.nn modules, which need not be installed here."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def named_children(self) -> list[tuple[str, Any]]:
        return [(str(i), child) for i, child in enumerate(self.children)]


def _layer(kind: str, home: str = "torch.nn.modules.fake", **fields: Any) -> _Module:
    return type(kind, (_Module,), {"__module__": home})(**fields)


def _sequential(*children: Any) -> _Module:
    return _layer("Sequential", children=children)


def _linear(d_in: int, d_out: int, bias: bool = True) -> _Module:
    rng = np.random.default_rng(d_in)
    return _layer("Linear", weight=rng.normal(size=(d_out, d_in)), bias=rng.normal(size=d_out) if bias else None)


def test_sequential_becomes_layers():
    first, second = _linear(4, 3), _linear(3, 2, bias=False)
    model = export_sequential(_sequential(_layer("Flatten", start_dim=1, end_dim=-1), first, _layer("ReLU"), second))
    assert model.layers == (4, 3, 2)
    np.testing.assert_array_equal(model.weights[0], first.weight.T)
    np.testing.assert_array_equal(model.weights[1], first.bias)
    np.testing.assert_array_equal(model.weights[3], np.zeros(2))


@pytest.mark.parametrize(
    ("children", "message"),
    [
        ([_linear(4, 3), _layer("Tanh"), _linear(3, 2)], r"module 1 \(Tanh\)"),
        ([_linear(4, 3), _linear(3, 2)], r"module 1 \(Linear\) cannot stand here"),
        ([_linear(4, 3), _layer("ReLU")], "must end with a Linear"),
        ([_layer("ReLU"), _linear(4, 3)], r"module 0 \(ReLU\)"),
        ([], "must end with a Linear"),
        ([_linear(4, 3), _layer("ReLU"), _linear(5, 2)], "layer 2 takes 5 inputs, the one before gives 3"),
        ([_layer("Linear", "mine", weight=np.ones((2, 2)), bias=None)], "not a plain torch.nn layer"),
        ([_layer("Flatten", start_dim=0, end_dim=-1), _linear(4, 3)], "Flatten must keep rows apart"),
        ([_layer("Linear", weight=np.full((2, 2), np.nan), bias=None)], "0: a weight is not finite"),
        ([_layer("Linear", weight=np.ones((2, 2)), bias=None, _forward_hooks={1: print})], "carries forward hooks"),
    ],
)
def test_other_modules_are_named(children, message):
    with pytest.raises(ExportError, match=message):
        export_sequential(_sequential(*children))


def test_a_module_that_is_no_sequential_is_named():
    with pytest.raises(ExportError, match="Conv2d is not a Sequential"):
        export_sequential(_layer("Conv2d"))


def test_real_torch_module():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    model = export_sequential(module)
    assert model.layers == (6, 4, 3)
    np.testing.assert_array_equal(model.weights[0], module[1].weight.detach().double().numpy().T)
    with pytest.raises(ExportError, match="Dropout"):
        export_sequential(torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Dropout()))


def test_npz_under_both_naming_schemes(tmp_path):
    rng = np.random.default_rng(0)
    w1, b1, w2, b2 = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=2)
    np.savez(tmp_path / "own.npz", weight1=w1, bias1=b1, weight2=w2, bias2=b2)
    np.savez(tmp_path / "torch.npz", **{"10.weight": w2.T, "10.bias": b2, "2.weight": w1.T, "2.bias": b1})
    for name in ("own.npz", "torch.npz"):
        model = weights_from_npz(tmp_path / name)
        assert model.layers == (4, 3, 2)
        for got, expected in zip(model.weights, (w1, b1, w2, b2), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones(3)}, "unexpected array a"),
        ({}, "no weights"),
        ({"weight1": np.ones((2, 3)), "bias1": np.ones(2)}, r"weight1: bias of shape \(2,\)"),
        ({"weight1": np.ones(3)}, "a matrix is expected"),
        ({"head.weight": np.ones((2, 3))}, "cannot order head.weight"),
        ({"weight1": np.array([["a"]])}, "numbers are expected"),
    ],
)
def test_unusable_npz_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ExportError, match=message):
        weights_from_npz(tmp_path / "w.npz")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(ExportError, match="does not exist"):
        weights_from_npz(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ExportError, match="not a readable NPZ"):
        weights_from_npz(tmp_path / "bad.npz")


def test_quantised_weights_are_nearest_integers_and_range_checked():
    case = make_case((7, 6, 3), "softmax_ce")
    unit = 2.0**case.spec.scales.s_w
    model = ExportedModel((7, 6, 3), [w / unit for w in case.weights])
    for got, expected in zip(quantise_weights(case.spec, model), case.weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    model.weights[2][1, 2] = 2.0 ** (31 - case.spec.scales.s_w)
    with pytest.raises(ExportError, match=r"weight2\[1, 2\] = 32 does not fit 32 bits at scale 26"):
        quantise_weights(case.spec, model)
    with pytest.raises(ExportError, match=r"the model has layers \(7, 3\)"):
        quantise_weights(case.spec, ExportedModel((7, 3), []))
