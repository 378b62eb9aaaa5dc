"""Finishing: 22 decoded joints become frames that may be shown."""

import numpy as np
import pytest

from soulstream_engine.errors import InvariantError
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import skeleton
from soulstream_engine.motion.finish import PoseFinisher
from soulstream_engine.motion.idle import idle_poses

FEET = list(skeleton.CONTACT_JOINTS)


def _decoded(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Idle with the smooth errors of a network: sliding, sinking, wavering contacts."""
    rng = np.random.default_rng(seed)
    root, wxyz, _ = idle_poses(range(frames), (0, 0, 0), 0.0)
    smooth = np.hanning(15) / np.linalg.norm(np.hanning(15))

    def noise(*shape: int) -> np.ndarray:
        return np.apply_along_axis(np.convolve, 0, rng.normal(size=(frames, *shape)), smooth, "same")

    body = wxyz[:, :22] + 0.01 * noise(22, 4)
    contacts = np.clip(1.0 + 0.25 * noise(4), -0.2, 1.3)
    return root + 0.01 * noise(3), body, contacts


def _finish(finisher: PoseFinisher, chunk: int, motion: tuple[np.ndarray, ...], start: int = 0) -> list[PoseFrame]:
    return [
        frame
        for at in range(0, len(motion[0]), chunk)
        for frame in finisher.finish(*(array[at : at + chunk] for array in motion), start + at)
    ]


def _joints(frames: list[PoseFrame]) -> np.ndarray:
    return skeleton.forward_kinematics(
        np.stack([frame.root_m for frame in frames]), np.stack([frame.joint_wxyz for frame in frames])
    )


def test_every_frame_may_be_shown() -> None:
    frames = _finish(PoseFinisher(3), 8, _decoded(240), start=1000)
    assert [frame.index for frame in frames] == list(range(1000, 1240))
    assert {frame.provenance for frame in frames} == {Provenance.GENERATED}
    for frame in frames:
        shapes = frame.root_m.shape, frame.joint_wxyz.shape, frame.face.shape, frame.contacts.shape
        assert shapes == ((3,), (52, 4), (52,), (4,))
        for array in (frame.root_m, frame.joint_wxyz, frame.face, frame.contacts):
            assert array.dtype == np.float32 and np.isfinite(array).all()
        np.testing.assert_allclose(np.linalg.norm(frame.joint_wxyz, axis=-1), 1, atol=1e-6)
        assert frame.contacts.min() >= 0 and frame.contacts.max() <= 1
    joints = _joints(frames)
    assert joints[:, FEET, 1].min() > -0.0101
    assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * 30 < 15
    assert max(frame.face.max() for frame in frames) > 0.9  # a blink in eight seconds
    wxyz = np.stack([frame.joint_wxyz for frame in frames])
    assert (np.sum(wxyz[1:] * wxyz[:-1], axis=-1) > 0).all()


def test_chunked_equals_whole() -> None:
    motion = _decoded(96)
    whole = _finish(PoseFinisher(3), 96, motion)
    for chunk in (1, 4, 8, 40):
        parts = _finish(PoseFinisher(3), chunk, motion)
        for one, other in zip(parts, whole, strict=True):
            np.testing.assert_allclose(one.root_m, other.root_m, atol=1e-6)
            np.testing.assert_allclose(one.joint_wxyz, other.joint_wxyz, atol=1e-6)
            np.testing.assert_array_equal(one.face, other.face)


def test_feet_slide_less_than_decoded() -> None:
    root, body, contacts = _decoded(240)
    raw = skeleton.forward_kinematics(root, body / np.linalg.norm(body, axis=-1, keepdims=True))
    shown = _joints(_finish(PoseFinisher(0), 8, (root, body, contacts)))
    slide = [np.linalg.norm(np.diff(joints[:, FEET], axis=0)[..., [0, 2]], axis=-1).mean() for joints in (raw, shown)]
    assert slide[1] < 0.3 * slide[0]


def test_a_bad_chunk_is_refused_and_leaves_no_trace() -> None:
    motion = _decoded(32)
    finisher, undisturbed = PoseFinisher(0), PoseFinisher(0)
    _finish(finisher, 16, tuple(array[:16] for array in motion))
    _finish(undisturbed, 16, tuple(array[:16] for array in motion))
    broken = motion[1][16:].copy()
    broken[5, 3] = np.nan
    with pytest.raises(InvariantError, match="frame 21"):
        finisher.finish(motion[0][16:], broken, motion[2][16:], 16)
    for one, other in zip(
        finisher.finish(*(array[16:] for array in motion), 16),
        undisturbed.finish(*(array[16:] for array in motion), 16),
        strict=True,
    ):
        np.testing.assert_array_equal(one.joint_wxyz, other.joint_wxyz)


def test_after_a_reset_or_a_gap_the_dancer_may_be_elsewhere() -> None:
    root, body, contacts = _decoded(16)
    finisher = PoseFinisher(0)
    last = finisher.finish(root, body, contacts, 0)[-1]
    far = root + np.array([4.0, 0, 0])
    finisher.reset(last)
    np.testing.assert_allclose(finisher.finish(far, -body, contacts, 16)[0].root_m, far[0], atol=1e-5)
    assert np.sum(finisher.finish(far, body, contacts, 100)[0].joint_wxyz * last.joint_wxyz, axis=-1).min() > 0
