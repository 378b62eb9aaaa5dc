"""A pose arrives in the other process whole, or not at all."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from soulstream_engine.frames import PoseFrame, Provenance, StatusSnapshot
from soulstream_engine.preview.shared_pose import PoseMemory


def frame(index: int) -> PoseFrame:
    value = np.float32(index)
    arrays = (np.full(shape, value, np.float32) for shape in (3, (52, 4), 52, 4))
    root_m, wxyz, face, contacts = arrays
    return PoseFrame(index, root_m, wxyz, face, contacts, Provenance.BLENDED)


def test_a_pose_and_a_status_arrive_once_and_whole() -> None:
    writer = PoseMemory()
    reader = PoseMemory(writer.name)
    try:
        assert reader.read_pose() is None
        assert reader.read_status() is None
        writer.write_pose(frame(6), 0.1)
        writer.write_pose(frame(7), 0.25)
        pose = reader.read_pose()
        assert pose is not None
        assert (pose.frame.index, pose.media_time_s, pose.frame.provenance) == (7, 0.25, Provenance.BLENDED)
        for array in (pose.frame.root_m, pose.frame.joint_wxyz, pose.frame.face, pose.frame.contacts):
            assert (array == 7).all()
        assert reader.read_pose() is None
        for tempo in (None, 120.5):
            status = StatusSnapshot(1, 2, 3, 4, 5, 6, 7, 8.5, tempo, 0.5, -20.0, True, "idle", "silence ♪")
            writer.write_status(status)
            assert reader.read_status() == status
        reader.page_port = 8081
        assert writer.page_port == 8081
    finally:
        reader.close()
        writer.close()
        writer.close()


def test_a_torn_or_half_written_pose_is_not_read() -> None:
    writer = PoseMemory()
    reader = PoseMemory(writer.name)
    try:
        writer.write_pose(frame(1), 0.0)
        writer._pose.fields["root_m"] = 9  # changed behind the sequence number's back
        assert reader.read_pose() is None
        writer._pose.begin()
        assert reader.read_pose() is None
        writer.write_pose(frame(2), 0.0)  # a writer that was cut off goes on
        pose = reader.read_pose()
        assert pose is not None
        assert pose.frame.index == 2
    finally:
        reader.close()
        writer.close()


def test_poses_stay_whole_while_they_are_overwritten() -> None:
    writer = PoseMemory()
    reader = PoseMemory(writer.name)
    stop = threading.Event()

    def write() -> None:
        index = 0
        while not stop.is_set():
            index = (index + 1) % 100_000
            writer.write_pose(frame(index), float(index))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = 0
        while seen < 20:
            pose = reader.read_pose()
            if pose is None:
                continue
            seen += 1
            assert pose.media_time_s == pose.frame.index
            assert (pose.frame.joint_wxyz == pose.frame.index).all()
            assert (pose.frame.contacts == pose.frame.index).all()
    finally:
        stop.set()
        thread.join()
        reader.close()
        writer.close()


def test_an_unknown_memory_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        PoseMemory("no-such-memory")
