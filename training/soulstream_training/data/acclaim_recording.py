"""A posed Acclaim skeleton (``asf``) as a ``Recording``, so that what works on recordings works on CMU's own files too.

Acclaim keeps the *end* of every bone; a recording keeps joints, where a bone begins and turns. The ends of the last
bones become joints ``<bone>_end``. Letters: ``T`` frames, ``B`` bones.
"""

from __future__ import annotations

import numpy as np

from soulstream_training.data.asf import Posed, Skeleton
from soulstream_training.data.bvh import TIP_SUFFIX
from soulstream_training.data.recording import Recording


def recording_of_acclaim(skeleton: Skeleton, posed: Posed, fps: float) -> Recording:
    """Turns ends of bones into joints.

    Args:
        skeleton: The skeleton.
        posed: Its world poses, T frames.
        fps: Frames a second; the files carry none, it is in the clip table.

    Returns:
        The recording; its joints have the names of the bones that turn there.
    """
    parents = [bone.parent for bone in skeleton.bones]
    leaves = sorted(set(range(len(parents))) - set(parents))
    reach_m = np.array([np.asarray(bone.direction) * bone.length for bone in skeleton.bones]) * skeleton.unit_m
    # A joint sits where its parent ends; the root and the children of the root sit at the root.
    begins = [max(parent, 0) for parent in parents]
    offsets_m = np.concatenate([reach_m[begins], reach_m[leaves]])
    return Recording(
        names=(*(bone.name for bone in skeleton.bones), *(skeleton.bones[leaf].name + TIP_SUFFIX for leaf in leaves)),
        parents=np.array([*parents, *leaves], dtype=np.int32),
        offsets_m=offsets_m,
        global_wxyz=np.concatenate([posed.global_wxyz, posed.global_wxyz[:, leaves]], axis=1),
        position_m=np.concatenate([posed.end_m[:, begins], posed.end_m[:, leaves]], axis=1),
        fps=fps,
    )
