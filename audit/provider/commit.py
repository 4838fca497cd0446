"""`assay commit`: a commitment of its own to a dataset or a model, with its certificate, outside any run.

DIR has the two halves of a run folder: `public/` with record, certificate and a description, `private/` with the opening.
Committing again into the same DIR resumes or does nothing; other data or options are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit.provider.folder import RunFolder
from audit.provider.training import AUTO_PROFILES, silent
from zk.frontend.datasets import IntArray, RawDataset, load_dataset
from zk.frontend.errors import DatasetError, ExportError
from zk.frontend.quantise import round_to
from zk.frontend.scales import Rate, feature_bits, unsigned_bits, usual_scales
from zk.frontend.split import Preprocess, fit_preprocess
from zk.frontend.torch_export import ExportedModel, quantise_weights, weights_from_npz, weights_from_safetensors
from zk.protocol.errors import ProvingError, VerificationError
from zk.protocol.params import MAX_TABLE_BITS, STORE_PROFILES, StoreProfile
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.programs.weights import WEIGHT_BITS
from zk.protocol.record import NO_CONTEXT
from zk.prover.commitment import StoreTableau
from zk.prover.statements import Proven, certify_dataset, certify_weights, commit_dataset, commit_weights

Progress = Callable[[float, str], None]
DATASET_FORMAT, MODEL_FORMAT = "assay-dataset/1", "assay-model/1"
USUAL_FEATURE_SCALE, USUAL_TARGET_SCALE, USUAL_WEIGHT_SCALE = 8, 10, 24
LARGEST_SCALE = 24
GRADIENT_SCALE = 12


@dataclass(frozen=True)
class DatasetOptions:
    """How a dataset becomes integers. `scale` None: the finest up to 2^-8 at which the largest feature fits 16 bits."""

    task: str = "auto"
    standardise: bool = False
    scale: int | None = None
    profile: str = "auto"


@dataclass(frozen=True)
class ModelOptions:
    """How weights become integers. Scales are fraction bits; `weight_scale` None: the finest up to 2^-24 that fits."""

    feature_scale: int = USUAL_FEATURE_SCALE
    weight_scale: int | None = None
    loss: str = "softmax_ce"
    profile: str = "auto"


@dataclass(frozen=True)
class Committed:
    """A finished commitment: digest of its record, bytes of its certificate, and its public description."""

    record: str
    proof_bytes: int
    description: dict[str, Any]


def commit_dataset_to(source: str, options: DatasetOptions, folder: RunFolder, progress: Progress = silent) -> Committed:
    """Commit every row of a dataset and prove its windows. Raises `DatasetError` or `ProvingError` naming what to change."""
    with folder.locked():
        return _commit_rows(source, options, folder, progress)


def _commit_rows(source: str, options: DatasetOptions, folder: RunFolder, progress: Progress) -> Committed:
    progress(0.0, "loading the dataset")
    data = load_dataset(source, options.task)
    preprocess = fit_preprocess(data, np.arange(data.n_rows), options.standardise)
    features = preprocess.features(data.features)
    spec = _dataset_spec(data, features, preprocess, options)
    integers, targets = round_to(features, spec.x_scale), _targets(data, preprocess, spec)
    profile = _profile(options.profile, spec.rows * spec.features)
    _claim(folder, {"format": DATASET_FORMAT, "source": source, **asdict(options)})
    progress(0.3, "committing")
    tableau = _keep(folder, "dataset", {"X": integers, "Y": targets}, lambda: commit_dataset(
        spec, profile, integers, targets, data.groups
    ))  # fmt: skip
    folder.write_json("preprocess.json", {"mean": preprocess.mean.tolist(), "scale": preprocess.scale.tolist()})
    description = {
        "format": DATASET_FORMAT,
        "record": tableau.record.digest().hex(),
        **asdict(spec),
        "feature_names": list(data.feature_names),
        "class_names": list(data.class_names),
        "group_names": list(data.group_names),
        "standardised": options.standardise,
    }
    progress(0.6, "certifying")
    return _finish(folder, "dataset", tableau, description, lambda: certify_dataset(spec, tableau, folder.ledger))


def commit_model_to(path: Path, options: ModelOptions, folder: RunFolder, progress: Progress = silent) -> Committed:
    """Commit the weights of a model and prove that every parameter fits 32 bits.

    `path`: an NPZ or safetensors file, or a folder with one of them. Raises `ExportError` naming array or option.
    """
    with folder.locked():
        return _commit_weights(path, options, folder, progress)


def _commit_weights(path: Path, options: ModelOptions, folder: RunFolder, progress: Progress) -> Committed:
    progress(0.0, "reading the weights")
    model = read_model(path)
    spec = _model_spec(model, options)
    weights = quantise_weights(spec, model)
    profile = _profile(options.profile, spec.n_parameters)
    _claim(folder, {"format": MODEL_FORMAT, "source": str(path), **asdict(options)})
    progress(0.3, "committing")
    tensors = {name: values for (name, _), values in zip(spec.weight_shapes(), weights, strict=True)}
    tableau = _keep(folder, "model", tensors, lambda: commit_weights(spec, profile, weights, NO_CONTEXT))
    description = {
        "format": MODEL_FORMAT,
        "record": tableau.record.digest().hex(),
        "layers": list(spec.layers),
        "loss": spec.loss,
        "scales": asdict(spec.scales),
    }
    progress(0.6, "certifying")
    return _finish(folder, "model", tableau, description, lambda: certify_weights(spec, tableau, folder.ledger))


def read_model(path: Path) -> ExportedModel:
    """Weights from a file, or from the one weight file of a checkpoint folder. Raises `ExportError`."""
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix in (".safetensors", ".npz"))
        if len(found) != 1:
            raise ExportError(f"{path} holds {len(found)} .safetensors or .npz files; name the weight file itself")
        path = found[0]
    if path.suffix == ".npz":
        return weights_from_npz(path)
    if path.suffix == ".safetensors":
        return weights_from_safetensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        raise ExportError(
            f"{path} is a pickle, which can run code when read; save the weights with "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and commit that file"
        )
    raise ExportError(f"{path} is no weight file; name a .npz or .safetensors file, or a folder with one")


def _dataset_spec(data: RawDataset, features: Any, preprocess: Preprocess, options: DatasetOptions) -> DatasetSpec:
    largest = float(np.abs(features).max())
    if options.scale is None:
        scale, bits = feature_bits(largest, USUAL_FEATURE_SCALE)
    else:
        scale, bits = options.scale, max(2, unsigned_bits(largest, options.scale) + 1)
    if not 0 <= scale <= LARGEST_SCALE or bits > MAX_TABLE_BITS:
        raise DatasetError(
            f"{data.source}: the largest feature {largest:g} needs {bits} bits at scale {scale}, at most {MAX_TABLE_BITS} "
            "are possible; use a smaller --scale, or --standardise"
        )
    shape = (data.n_rows, data.n_features, bits, scale)
    n_groups = len(data.group_names)
    if data.is_classification:
        return DatasetSpec(*shape, "onehot", data.n_targets, 1, 0, n_groups)
    y_scale, y_bits = feature_bits(float(np.abs(preprocess.targets(np.asarray(data.targets))).max()), USUAL_TARGET_SCALE)
    return DatasetSpec(*shape, "value", data.n_targets, y_bits, y_scale, n_groups)


def _targets(data: RawDataset, preprocess: Preprocess, spec: DatasetSpec) -> IntArray:
    if data.is_classification:
        return np.eye(data.n_targets, dtype=np.int64)[np.asarray(data.targets, dtype=np.int64)]
    return round_to(preprocess.targets(np.asarray(data.targets, dtype=np.float64)), spec.y_scale)


def _model_spec(model: ExportedModel, options: ModelOptions) -> TrainingSpec:
    """A specification for inference only: the widest windows, weights at the finest scale that fits."""
    largest = max(float(np.abs(values).max()) for values in model.weights)
    s_x, s_w = options.feature_scale, options.weight_scale
    if s_w is None:
        fits = [bits for bits in range(USUAL_WEIGHT_SCALE + 1) if unsigned_bits(largest, bits) < WEIGHT_BITS]
        s_w = fits[-1] if fits else 0
    s_d = min(GRADIENT_SCALE, s_w - s_x)
    if s_x < 0 or s_d < 0 or s_w > LARGEST_SCALE + USUAL_FEATURE_SCALE:
        raise ExportError(
            f"weights at {s_w} fraction bits with features at {s_x}: weights need between {max(s_x, 0)} and "
            f"{LARGEST_SCALE + USUAL_FEATURE_SCALE}; choose other --weight-scale or --feature-scale"
        )
    usual = usual_scales(options.loss, model.layers[-1], Rate(1, s_w - s_x - s_d), s_x)
    wide = MAX_TABLE_BITS
    s_z = min(usual.s_z, s_d)
    scales = Scales(s_x=s_x, s_d=s_d, e=usual.e, s_z=s_z, s_e=usual.s_e, a=wide, q=wide, w_d=wide, w_m=wide)
    targets = ("onehot", model.layers[-1], 1, 0) if options.loss == "softmax_ce" else ("value", model.layers[-1], wide, s_z)
    data = DatasetSpec(1, model.layers[0], wide, s_x, *targets)
    spec = TrainingSpec(model.layers, options.loss, data, 1, 1, scales)
    try:
        spec.check()
    except VerificationError as error:
        raise ExportError(f"these weights cannot be used in proofs: {error}") from None
    return spec


def _profile(name: str, n_slots: int) -> StoreProfile:
    """The profile of that name, or the smallest one meant for so many slots."""
    if name != "auto":
        if name not in STORE_PROFILES or STORE_PROFILES[name].is_toy:
            raise ProvingError(f"unknown profile {name}; write auto, {', '.join(known for known, _ in AUTO_PROFILES)}")
        return STORE_PROFILES[name]
    for known, limit in AUTO_PROFILES:
        if n_slots <= limit:
            return STORE_PROFILES[known]
    raise ProvingError(f"{n_slots} values are beyond every profile; commit fewer rows or columns")


def _claim(folder: RunFolder, origin: dict[str, Any]) -> None:
    """The folder is for this source and these options only, from the first byte on."""
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    if (folder.private / "config.json").exists():
        if folder.read_json("config.json").get("sha256") != digest:
            raise ProvingError(f"{folder.root} holds another commitment or run; choose another --out")
        return
    folder.write_json("config.json", {"sha256": digest, **origin})


def _keep(folder: RunFolder, name: str, tensors: dict[str, IntArray], make: Callable[[], StoreTableau]) -> StoreTableau:
    """The opening of an interrupted attempt if it holds the same integers, else a new one."""
    if not folder.has_opening(name):
        folder.save_opening(name, make())
    tableau = folder.load_opening(name)
    if any(not np.array_equal(tableau.tensors[key], values) for key, values in tensors.items()):
        raise ProvingError(f"the source has changed since {folder.root} was started; restore it, or choose another --out")
    return tableau


def _finish(
    folder: RunFolder, name: str, tableau: StoreTableau, description: dict[str, Any], certify: Callable[[], Proven]
) -> Committed:
    folder.write_record(name, tableau)
    certificate = "certificate-dataset" if name == "dataset" else "certificate-weights"
    if not folder.has_proof(certificate):
        folder.write_proof(certify())
    folder.write_public(f"{name}.json", json.dumps(description, indent=1).encode())
    size = (folder.public / "proofs" / f"{certificate}.proof").stat().st_size
    return Committed(tableau.record.digest().hex(), size, description)
