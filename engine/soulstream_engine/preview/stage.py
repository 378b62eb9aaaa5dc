"""What the page shows: the dancer, the floor and the lights, as objects of a viser scene.

The camera belongs to whoever looks. Instead of moving it, the whole stage glides under the dancer, slowly, so she
stays in view wherever she travels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.frames import PoseFrame
from soulstream_engine.motion.faces import ARKIT_INDEX
from soulstream_engine.motion.skeleton import forward_kinematics, global_rotations
from soulstream_engine.preview.body import REST_JOINTS_M, BodyPart, build_body

F32 = NDArray[np.float32]

FLOOR_SQUARE_M = 1.0
"""Side of the floor's squares, metres."""

_EYES = {"left_eye": ARKIT_INDEX["eyeBlinkLeft"], "right_eye": ARKIT_INDEX["eyeBlinkRight"]}
_BLINK = 0.5  # an eye is shut above this weight
_FOLLOW_TIME_S = 1.2  # the stage closes most of a gap in this time
_FOLLOW_FREE_M = 0.25  # steps shorter than this move the dancer, not the stage

# Colours are sRGB 0..255.
_NIGHT = (22, 22, 44)
_GLOW = (78, 74, 140)
_FLOOR = (30, 32, 56)
_FLOOR_LINE = (64, 68, 112)


class Stage:
    """The scene of one page.

    Args:
        server: A ``viser.ViserServer``; its scene is filled here.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        scene = server.scene
        scene.set_up_direction("+y")
        scene.configure_default_lights(enabled=False)
        scene.configure_environment_map("studio", environment_intensity=0.25)
        scene.set_background_image(_backdrop(), format="png")
        _add_lights(scene)
        self._floor = scene.add_grid(
            "/floor",
            plane="xz",
            infinite_grid=True,
            cell_size=FLOOR_SQUARE_M / 2,
            section_size=FLOOR_SQUARE_M,
            cell_color=_FLOOR,
            section_color=_FLOOR_LINE,
            cell_thickness=0.6,
            section_thickness=1.0,
            fade_distance=14.0,
            fade_strength=2.0,
            fade_from="origin",
            shadow_opacity=0.55,
            plane_color=_FLOOR,
            plane_opacity=0.0,
        )
        body = build_body()
        self._parts = {part.name: _add_part(scene, part) for part in body}
        self._bones = [(self._parts[part.name].bones, part.bones.tolist()) for part in body]
        self._follow_m = np.zeros(2)
        server.initial_camera.position = (1.2, 1.4, 3.7)
        server.initial_camera.look_at = (0.0, 1.0, 0.0)
        server.initial_camera.fov = 0.66

    def show(self, frame: PoseFrame, elapsed_s: float) -> None:
        """Pose the dancer.

        Args:
            frame: The pose.
            elapsed_s: Time since the last call, seconds; how far the stage may glide.
        """
        world_wxyz = global_rotations(frame.joint_wxyz)
        self._glide(frame.root_m[[0, 2]], elapsed_s)
        shift = np.array([self._follow_m[0], 0.0, self._follow_m[1]])
        positions = forward_kinematics(frame.root_m, frame.joint_wxyz) - shift
        with self._server.atomic():
            for bones, joints in self._bones:
                for bone, joint in zip(bones, joints, strict=True):
                    bone.position = positions[joint]
                    bone.wxyz = world_wxyz[joint]
            for name, column in _EYES.items():
                self._parts[name].visible = bool(frame.face[column] < _BLINK)
            self._floor.position = -(shift % FLOOR_SQUARE_M)
        self._server.flush()

    def _glide(self, target_m: F32, elapsed_s: float) -> None:
        """Move the middle of the stage [2] towards the dancer."""
        gap = target_m - self._follow_m
        distance = float(np.hypot(*gap))
        if distance > 5.0:
            self._follow_m = np.asarray(target_m, dtype=np.float64)  # a jump: a new dance began somewhere else
        elif distance > _FOLLOW_FREE_M:
            share = 1.0 - np.exp(-max(elapsed_s, 0.0) / _FOLLOW_TIME_S)
            self._follow_m = self._follow_m + gap * (1.0 - _FOLLOW_FREE_M / distance) * share


def _add_part(scene: Any, part: BodyPart) -> Any:
    """One mesh of the body, in the rest pose; returns its handle."""
    return scene.add_mesh_skinned(
        f"/dancer/{part.name}",
        part.mesh.vertices_m,
        part.mesh.faces,
        bone_wxyzs=np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (len(part.bones), 1)),
        bone_positions=REST_JOINTS_M[part.bones],
        skin_weights=part.weights,
        color=part.color,
    )


def _add_lights(scene: Any) -> None:
    """A warm key light with a shadow, a soft fill from above and two coloured lights from behind."""
    scene.add_light_hemisphere("/light/fill", sky_color=(190, 205, 255), ground_color=(70, 60, 95), intensity=0.9)
    scene.add_light_directional(
        "/light/key", color=(255, 240, 222), intensity=1.9, cast_shadow=True, position=(2.0, 4.0, 3.0)
    )
    scene.add_light_spot(
        "/light/left",
        color=(120, 150, 255),
        intensity=30.0,
        position=(-2.6, 2.6, -2.4),
        direction=(0.6, -0.35, 0.6),
        angle=0.9,
        penumbra=0.8,
    )
    scene.add_light_spot(
        "/light/right",
        color=(255, 90, 190),
        intensity=26.0,
        position=(2.6, 2.2, -2.4),
        direction=(-0.6, -0.3, 0.6),
        angle=0.9,
        penumbra=0.8,
    )


def _backdrop() -> NDArray[np.uint8]:
    """A night sky for the stage [90, 160, 3]: dark at the edges, a glow behind the dancer."""
    y, x = np.mgrid[-1:1:90j, -1:1:160j]
    glow = np.exp(-((x / 0.75) ** 2 + ((y + 0.05) / 0.9) ** 2) * 1.3)[..., None]
    color = np.array(_NIGHT) + glow * (np.array(_GLOW) - np.array(_NIGHT))
    return np.asarray(color, dtype=np.uint8)
