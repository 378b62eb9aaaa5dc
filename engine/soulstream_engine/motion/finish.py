"""From what the model decoded to frames that may be shown: feet locked, hands and face filled in, speeds guarded.

What the model does not generate comes from rules here: hands (``hands``) and face (``blinks``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import blinks, hands, limits, rotations
from soulstream_engine.motion.foot_lock import FootLockState, lock_feet
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS


class PoseFinisher:
    """Makes ``GENERATED`` frames of decoded body motion, chunk by chunk; chunked equals whole.

    Args:
        seed: Chooses the blinks.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._feet = FootLockState()
        self._limit = limits.SpeedLimit()
        self._next_index: int | None = None

    def reset(self, anchor: PoseFrame | None = None) -> None:
        """Forget the motion so far: the next chunk may start anywhere.

        Args:
            anchor: The frame shown last, if any; the next rotations continue its signs. (The jump itself is for
                ``blend.Seam``.)
        """
        self._feet = FootLockState()
        self._limit.reset(None if anchor is None else anchor.joint_wxyz)
        self._next_index = None

    def finish(
        self,
        root_m: ArrayLike,
        joint_wxyz: ArrayLike,
        contacts: ArrayLike,
        start_index: int,
        face: ArrayLike | None = None,
    ) -> list[PoseFrame]:
        """Frames to show for the next chunk of decoded motion.

        Args:
            root_m: Pelvis positions [T, 3], metres.
            joint_wxyz: Parent-local rotations of the body [T, 22, 4], or with the hands [T, 52, 4].
            contacts: Contact [T, 4] of left ankle, left toe base, right ankle, right toe base, as decoded.
            start_index: Frame index of row 0; a chunk that does not follow the last one starts afresh.
            face: Weights [T, 52] of ``ARKIT_NAMES``; ``None``: a rule blinks.

        Returns:
            T frames of 52 joints, what is not given by rule: finite, unit rotations, feet not below
            ``floor.LOWEST_FOOT_M``, no joint faster than ``limits.MAX_JOINT_M_S``.

        Raises:
            InvariantError: If a value is not finite; the state is then as before the call.

        Live: allocates; below 0.3 ms a frame in chunks of 8.
        """
        given = {} if face is None else {"face": face}
        limits.require_finite(start_index, root_m=root_m, joint_wxyz=joint_wxyz, contacts=contacts, **given)
        if self._next_index is not None and start_index != self._next_index:
            self.reset()
        joint = rotations.normalize(np.asarray(joint_wxyz, dtype=np.float64))
        body, has_hands = joint[:, :NUM_BODY_JOINTS], joint.shape[1] == NUM_JOINTS
        root, body, self._feet = lock_feet(root_m, body, contacts, self._feet)
        indices = np.arange(start_index, start_index + len(root))
        wxyz = np.empty((len(root), NUM_JOINTS, 4))
        wxyz[:, :NUM_BODY_JOINTS] = body
        wxyz[:, NUM_BODY_JOINTS:] = joint[:, NUM_BODY_JOINTS:] if has_hands else hands.resting_hands(indices)
        root, wxyz = self._limit.apply(root, wxyz)
        self._next_index = start_index + len(root)

        roots, joints = root.astype(np.float32), wxyz.astype(np.float32)
        faces = blinks.blink_faces(self._seed, indices)
        if face is not None:
            faces = np.clip(np.asarray(face, np.float32), 0.0, 1.0)
        by_rule = tuple(part for part, is_given in (("hands", has_hands), ("face", face is not None)) if not is_given)
        weights = np.clip(np.asarray(contacts), 0.0, 1.0).astype(np.float32)
        return [
            PoseFrame(
                index=start_index + t,
                root_m=roots[t],
                joint_wxyz=joints[t],
                face=faces[t],
                contacts=weights[t],
                provenance=Provenance.GENERATED,
                not_generated=by_rule,
            )
            for t in range(len(root))
        ]
