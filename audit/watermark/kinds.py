"""The watermark audits of this version."""

from __future__ import annotations

from audit.registry import AuditKind
from audit.watermark.detect import WatermarkDetect
from audit.watermark.distortion import WatermarkDistortion
from audit.watermark.robustness import WatermarkRobustness
from audit.watermark.stealing import WatermarkStealing


def kinds() -> tuple[AuditKind, ...]:
    """One object a kind."""
    return (WatermarkDetect(), WatermarkRobustness(), WatermarkDistortion(), WatermarkStealing())
