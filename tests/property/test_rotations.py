"""Laws that hold for every rotation and every way of cutting motion into chunks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from soulstream_engine.motion import representation as rep
from soulstream_engine.motion import rotations

finite = st.floats(-1, 1, width=32)
vectors = arrays(np.float64, (4, 3), elements=finite)
quaternions = arrays(np.float64, (4, 4), elements=finite).map(rotations.normalize)


@given(quaternions, quaternions)
def test_quaternion_matrix_and_sixd_agree(first, second):
    product = rotations.multiply(first, second)
    np.testing.assert_allclose(
        rotations.to_matrix(product), rotations.to_matrix(first) @ rotations.to_matrix(second), atol=1e-9
    )
    assert rotations.angle_between(rotations.from_matrix(rotations.to_matrix(product)), product).max() < 1e-6
    assert rotations.angle_between(rotations.from_sixd(rotations.to_sixd(product)), product).max() < 1e-6


@given(quaternions, vectors)
def test_conjugate_undoes_rotate(wxyz, vector):
    back = rotations.rotate(rotations.conjugate(wxyz), rotations.rotate(wxyz, vector))
    np.testing.assert_allclose(back, vector, atol=1e-9)


@given(vectors, vectors)
def test_between_turns_one_direction_onto_the_other(start, end):
    long_enough = (np.linalg.norm(start, axis=-1) > 1e-3) & (np.linalg.norm(end, axis=-1) > 1e-3)
    start, end = start[long_enough], end[long_enough]
    turned = rotations.rotate(rotations.between(start, end), start)
    unit = [vector / np.linalg.norm(vector, axis=-1, keepdims=True) for vector in (turned, end)]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-4)


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_divides_the_angle(start, end, t):
    middle = rotations.slerp(start, end, t)
    whole = rotations.angle_between(start, end)
    np.testing.assert_allclose(rotations.angle_between(start, middle), t * whole, atol=1e-6)


@given(arrays(np.float64, (3, 6), elements=st.floats(-1e3, 1e3, width=32)))
def test_from_sixd_accepts_anything(sixd):
    wxyz = rotations.from_sixd(sixd)
    np.testing.assert_allclose(np.linalg.norm(wxyz, axis=-1), 1, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_integrating_in_chunks_equals_the_whole(seed, lengths):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(sum(lengths), 263)).astype(np.float32)
    whole = rep.decode_pose(rows)
    state, pieces = None, []
    for chunk in np.split(rows, np.cumsum(lengths)[:-1]):
        *piece, state = rep.decode_pose(chunk, state)
        pieces.append(piece)
    for expected, parts in zip(whole[:2], zip(*pieces, strict=True), strict=False):
        got = np.concatenate(parts)
        if expected.ndim == 3:
            assert rotations.angle_between(got, expected).max() < 1e-5
        else:
            np.testing.assert_allclose(got, expected, atol=1e-5)
