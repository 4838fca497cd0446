"""One stage of proving a training step with EZKL; runs under an interpreter that has `ezkl`, `onnx` and `numpy`.

    EZKL_PYTHON benchmarks/ezkl_worker.py STAGE FOLDER [--batch 16]

Stages, in order: model, settings, srs, compile, setup, witness, prove, verify. Each is a process of its own, so that its
peak memory is its own. The circuit is a whole step of a 64-32-10 network with squared error: forward pass, backward pass
and weight update, with x, target, w1, b1, w2, b2 as private inputs and the updated weights as public outputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import ezkl  # type: ignore[import-not-found]
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.measure import peak_bytes, timed

WIDTHS = (64, 32, 10)
LEARNING_RATE = 0.0625
SCALE_BITS = 8


def write_model(folder: Path, batch: int) -> None:
    """The ONNX graph of one step, written by hand, and an input with random weights."""
    import onnx  # type: ignore[import-not-found]
    from onnx import TensorProto, helper

    d0, d1, d2 = WIDTHS
    shapes = {"x": (batch, d0), "target": (batch, d2), "w1": (d0, d1), "b1": (1, d1), "w2": (d1, d2), "b2": (1, d2)}
    rate = helper.make_tensor("rate", TensorProto.FLOAT, (1,), [LEARNING_RATE / batch])
    axis = helper.make_tensor("axis", TensorProto.INT64, (1,), [0])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, (1,), [0.0])
    nodes = [
        _node("MatMul", "x", "w1", out="m1"),
        _node("Add", "m1", "b1", out="y1"),
        _node("Relu", "y1", out="h"),
        _node("MatMul", "h", "w2", out="m2"),
        _node("Add", "m2", "b2", out="y2"),
        _node("Sub", "y2", "target", out="delta2"),
        _node("Transpose", "w2", out="w2t", perm=[1, 0]),
        _node("MatMul", "delta2", "w2t", out="back"),
        _node("Greater", "y1", "zero", out="positive"),
        _node("Cast", "positive", out="mask", to=TensorProto.FLOAT),
        _node("Mul", "back", "mask", out="delta1"),
    ]
    for layer, below in ((1, "x"), (2, "h")):
        nodes += [
            _node("Transpose", below, out=f"t{layer}", perm=[1, 0]),
            _node("MatMul", f"t{layer}", f"delta{layer}", out=f"gw{layer}"),
            _node("ReduceSum", f"delta{layer}", "axis", out=f"gb{layer}", keepdims=1),
        ]
        for name in (f"w{layer}", f"b{layer}"):
            nodes += [_node("Mul", f"g{name}", "rate", out=f"s{name}"), _node("Sub", name, f"s{name}", out=f"new_{name}")]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    names = ("w1", "b1", "w2", "b2")
    outputs = [helper.make_tensor_value_info(f"new_{name}", TensorProto.FLOAT, shapes[name]) for name in names]
    graph = helper.make_graph(nodes, "step", inputs, outputs, [rate, axis, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(folder / "model.onnx"))
    rng = np.random.default_rng(11)
    values = {name: rng.uniform(-1, 1, shape) * (6 / shape[0]) ** 0.5 for name, shape in shapes.items() if name[0] in "wb"}
    values["x"] = rng.uniform(-0.6, 1.4, shapes["x"])
    values["target"] = np.eye(d2)[rng.integers(0, d2, batch)]
    values["b1"], values["b2"] = np.zeros(shapes["b1"]), np.zeros(shapes["b2"])
    (folder / "input.json").write_text(json.dumps({"input_data": [values[name].reshape(-1).tolist() for name in shapes]}))


def _node(kind: str, *inputs: str, out: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, list(inputs), [out], **attributes)


def settings(folder: Path) -> None:
    """Private inputs, public outputs; lookup range and rows chosen by EZKL's own calibration at one fixed scale."""
    args = ezkl.PyRunArgs()
    args.input_visibility, args.output_visibility, args.param_visibility = "private", "public", "fixed"
    args.input_scale = args.param_scale = SCALE_BITS
    _require(ezkl.gen_settings(model=_path(folder, "model.onnx"), output=_path(folder, "settings.json"), py_run_args=args))
    done = ezkl.calibrate_settings(
        data=_path(folder, "input.json"),
        model=_path(folder, "model.onnx"),
        settings=_path(folder, "settings.json"),
        target="resources",
        scales=[SCALE_BITS],
    )
    _require(done)


def _require(done: object) -> None:
    if done is False or done is None:
        raise RuntimeError("EZKL reports failure")


def _path(folder: Path, name: str) -> str:
    return str(folder / name)


def run(stage: str, folder: Path, batch: int) -> None:
    """One stage; raises whatever EZKL raises."""
    if stage == "model":
        return write_model(folder, batch)
    if stage == "settings":
        return settings(folder)
    names = ("model.onnx", "settings.json", "circuit", "pk", "vk", "srs", "proof", "witness")
    files = {name: _path(folder, name) for name in names}
    if stage == "srs":
        rows = json.loads((folder / "settings.json").read_text())["run_args"]["logrows"]
        return ezkl.gen_srs(files["srs"], rows)
    calls = {
        "compile": lambda: ezkl.compile_circuit(files["model.onnx"], files["circuit"], files["settings.json"]),
        "setup": lambda: ezkl.setup(files["circuit"], files["vk"], files["pk"], srs_path=files["srs"]),
        "witness": lambda: ezkl.gen_witness(_path(folder, "input.json"), files["circuit"], files["witness"]),
        "prove": lambda: ezkl.prove(files["witness"], files["circuit"], files["pk"], files["proof"], srs_path=files["srs"]),
        "verify": lambda: ezkl.verify(files["proof"], files["settings.json"], files["vk"], srs_path=files["srs"]),
    }
    _require(calls[stage]())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    start = time.process_time()
    seconds, _ = timed(lambda: run(options.stage, options.folder, options.batch))
    print(json.dumps({"seconds": seconds, "processor": time.process_time() - start, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
