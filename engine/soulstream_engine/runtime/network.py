"""A verified bundle turned into callables: every step loaded by a backend, the sampler's shape read from signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Arrays, Backend, Step, initial_states
from soulstream_engine.bundle import Bundle, check_features
from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.manifest import Manifest
from soulstream_engine.sampling.dancer import DECODER_STEP, FRAMES_PER_TOKEN, DancerSettings
from soulstream_engine.sampling.masked import SamplerSettings
from soulstream_engine.sampling.window import FOR_ONE, STAGES, WindowShape


class Network:
    """The compiled steps of one bundle.

    Args:
        bundle: Verified bundle.
        backend: What runs it; ``None`` is ONNX Runtime.

    Raises:
        BundleError: If the bundle expects other music features than this engine computes.
        BackendError: If a step cannot be loaded.
    """

    def __init__(self, bundle: Bundle, backend: Backend | None = None) -> None:
        check_features(bundle.manifest, FEATURE_NAMES)
        _check_steps(bundle.manifest)
        backend = backend or open_backend()
        self.manifest = bundle.manifest
        self._backend = backend
        self._steps: dict[str, Step] = {}
        loaded: dict[tuple[str, tuple[tuple[str, int], ...]], Step] = {}
        files = bundle.manifest.files
        for spec in sorted(bundle.manifest.steps, key=lambda step: -files[step.file].bytes):  # least memory at its peak
            key = (spec.file, tuple(sorted(spec.sizes.items())))
            if key not in loaded:  # with one candidate a stage and its step for one plan are the same
                loaded[key] = backend.load(bundle.graphs[spec.name], spec.name, spec)
            self._steps[spec.name] = loaded[key]

    @property
    def backend_name(self) -> str:
        """Name of the backend that computes now; a ``BackendSwap`` changes it."""
        return self._backend.name

    def run(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one step by name (``sampling.window.RunStep``)."""
        return self._steps[name].run(inputs)

    def decoder_states(self) -> Arrays:
        """States of the decoder at the start of an epoch, by input name."""
        return initial_states(self.manifest.step(DECODER_STEP))


def _check_steps(manifest: Manifest) -> None:
    """Refuse a bundle that this engine cannot play although it is whole."""
    needed = {"music", *STAGES, *(stage + FOR_ONE for stage in STAGES), DECODER_STEP}
    missing = needed - {spec.name for spec in manifest.steps}
    if missing:
        raise BundleError(
            "BUNDLE_STEPS", f"Bundle '{manifest.model_id}' lacks the steps {sorted(missing)}.", "Export it again."
        )
    if manifest.tokenizer.frames_per_token != FRAMES_PER_TOKEN:
        raise BundleError(
            "BUNDLE_TOKENS",
            f"Bundle '{manifest.model_id}' has {manifest.tokenizer.frames_per_token} frames a token, this engine "
            f"plays {FRAMES_PER_TOKEN}.",
            "Use a bundle made for this version.",
        )
    decoder = manifest.step(DECODER_STEP)
    if "pace" not in {tensor.name for tensor in decoder.outputs} or "kept" not in {t.name for t in decoder.inputs}:
        raise BundleError(
            "BUNDLE_STEPS",
            f"The decoder of bundle '{manifest.model_id}' is of an older form: it gives no pace or takes no count.",
            "Export it again with this version.",
        )
    if manifest.representation.face_space != "arkit52":
        raise BundleError(
            "BUNDLE_FACE",
            f"Bundle '{manifest.model_id}' makes faces of {manifest.representation.face_space}, this engine shows "
            "arkit52.",
            "Use a bundle with that face.",
        )


def check_guidance(manifest: Manifest, settings: SamplerSettings) -> None:
    """Refuse a guidance for which the bundle's graphs compute no scores without music.

    Raises:
        BundleError: If a guidance scale is not 1 and the steps have one half only.
    """
    scales = (settings.guidance, settings.residual_guidance)
    if window_shape(manifest).halves == 1 and scales != (1.0, 1.0):
        raise BundleError(
            "BUNDLE_GUIDANCE",
            f"Guidance {scales[0]} and {scales[1]} need scores without music; bundle '{manifest.model_id}' has none.",
            "Set both to 1, or export the bundle with the guidance it is to be played with.",
        )


def window_shape(manifest: Manifest, commit_tokens: int | None = None) -> WindowShape:
    """Sizes of a tick from the manifest and the signatures of its steps.

    Args:
        manifest: Of the bundle.
        commit_tokens: Tokens that a tick commits; ``None`` is what the bundle wants.

    Raises:
        ConfigError: If the bundle cannot commit so many.
    """
    sampler = manifest.sampler
    commit = sampler.commit_tokens if commit_tokens is None else commit_tokens
    if not 1 <= commit <= sampler.commit_tokens:
        raise ConfigError(
            "TICK_TOKENS",
            f"A tick of {commit} tokens is not possible; bundle '{manifest.model_id}' commits up to "
            f"{sampler.commit_tokens}.",
            "Choose fewer, 1 or more.",
        )
    inputs = {tensor.name: tensor for tensor in manifest.step("mask").inputs}
    halves, layers, heads, _, head_width = inputs["past_k"].shape
    return WindowShape(
        candidates=inputs["codes"].shape[0],
        halves=halves,
        num_parts=len(manifest.representation.parts),
        levels=manifest.tokenizer.levels,
        num_codes=manifest.tokenizer.codes,
        context=sampler.context_tokens,
        planned=sampler.planned_tokens,
        commit=commit,
        fresh_past=sampler.fresh_past_tokens,
        layers=layers,
        heads=heads,
        head_width=head_width,
        music_tokens=manifest.step("music").inputs[0].shape[0],
    )


def sampler_settings(manifest: Manifest) -> SamplerSettings:
    """How the bundle wants to be sampled."""
    sampler = manifest.sampler
    return SamplerSettings(
        iterations=sampler.iterations,
        guidance=sampler.guidance,
        residual_guidance=sampler.residual_guidance,
        keep_share=sampler.keep_share,
        temperature=sampler.temperature,
        residual_temperature=sampler.residual_temperature,
    )


def dancer_settings(manifest: Manifest) -> DancerSettings:
    """The bundle's timing."""
    return DancerSettings(
        lead_frames=manifest.sampler.lead_frames,
        look_ahead_frames=manifest.tokenizer.look_ahead_frames,
        beat_offset_s=manifest.sampler.beat_offset_ms / 1000.0,
    )
