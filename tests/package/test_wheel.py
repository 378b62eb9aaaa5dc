"""What is built is what is in the tree: every module in the wheel, no collisions, no torch where music is played."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = {
    "engine": "soulstream_engine",
    "export": "soulstream_export",
    "training": "soulstream_training",
    "clients": "soulstream_clients",
}


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("soulstream-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("root", ROOTS)
def test_every_file_of_the_package_is_in_the_wheel(root: str, wheel_names: set[str]) -> None:
    package = REPOSITORY / root / ROOTS[root]
    wanted = {
        path.relative_to(REPOSITORY / root).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert f"{ROOTS[root]}/py.typed" in wanted
    assert wanted - wheel_names == set()


def test_the_wheel_brings_only_our_four_packages(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names if ".dist-info" not in name.split("/")[0]}
    assert tops == set(ROOTS.values())


def test_the_licence_is_in_the_wheel(wheel_names: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_every_folder_with_modules_is_a_package() -> None:
    for root, package in ROOTS.items():
        for module in (REPOSITORY / root / package).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module.parent} lacks __init__.py"
