"""``soulstream render``: dances to a whole song and writes the dance to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulstream_engine.cli.output import console, print_json, say
from soulstream_engine.cli.run import Backend, Precision, RequireBackend
from soulstream_engine.clock import MAX_AUDIO_OFFSET_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def render(
    song: Annotated[Path, typer.Argument(help="Sound file: WAV, FLAC, OGG, MP3, AIFF.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write: .bvh (animation) or .npz (arrays).", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Another seed, another dance.")] = 0,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of another model.", show_default="the embedded one")
    ] = None,
    audio_offset: Annotated[
        float,
        typer.Option(
            min=-MAX_AUDIO_OFFSET_MS, max=MAX_AUDIO_OFFSET_MS, metavar="MS", help="Dance later (+) or earlier (-)."
        ),
    ] = 0.0,
    backend: Backend = None,
    precision: Precision = None,
    require_backend: RequireBackend = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Dance to a song, faster than it plays, and write the dance to a file.

    Examples:
      soulstream render song.mp3 --out take.bvh
      soulstream render song.wav --out take.npz --seed 7 --json

    The file appears only when it is complete. Arrays in an .npz: joints_m [T,52,3], joint_wxyz [T,52,4],
    root_m [T,3], parents [52], rest_offsets_m [52,3], face [T,F], contacts [T,4], fps, provenance [T],
    not_generated [3] (body, hands, face: true where a rule drives the part and not the model).
    Metres, Y up, quaternions wxyz.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from soulstream_engine.cli.take_files import check_output, write_take

    check_output(out)

    from soulstream_engine.config import resolve

    options = {"model.backend": backend, "model.precision": precision, "model.require_backend": require_backend}
    chosen = resolve(options=options)[0].model

    from soulstream_engine.audio.decode import load_audio
    from soulstream_engine.bundle import load_bundle
    from soulstream_engine.clock import SAMPLE_RATE, monotonic_ns

    started_ns = monotonic_ns()
    samples = load_audio(song)

    model = load_bundle(bundle)

    from soulstream_engine.runtime.backend_swap import BackendWish, prepared_stream
    from soulstream_engine.runtime.render import render_song

    wish = BackendWish(chosen.backend, chosen.precision, chosen.require_backend)
    stream = prepared_stream(model, seed, wish, lambda _code, message: say(message, "yellow"))

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(f"Dancing to {song.name}", total=1.0)
        take = render_song(
            _shifted(samples, audio_offset),
            model,
            progress=lambda done: bar.update(task, completed=done),
            stream=stream,
        )
    write_take(take, out)
    seconds_of_music = len(samples) / SAMPLE_RATE
    seconds_taken = (monotonic_ns() - started_ns) / 1e9
    factor = seconds_of_music / seconds_taken
    say(f"{out}: {len(take.root_m)} frames, {seconds_of_music:.1f} s of music in {seconds_taken:.1f} s ({factor:.1f}x)")
    from soulstream_engine.motion.soundness import soundness

    checks = soundness(take.joints_m, take.root_m, take.joint_wxyz).rounded() if len(take.root_m) > 1 else {}
    if checks:
        say(
            f"hips tilt {checks['pelvis_pitch_deg']} degrees forward, {checks['pelvis_roll_deg']} to the side; "
            f"lowest foot {checks['lowest_foot_m']} m, fastest joint {checks['fastest_joint_m_s']} m/s"
        )
    if as_json:
        print_json(
            {
                "seconds_of_music": round(seconds_of_music, 3),
                "seconds_taken": round(seconds_taken, 3),
                "realtime_factor": round(factor, 2),
                "frames": len(take.root_m),
                "generated": sum(item.value == "generated" for item in take.provenance),
                "seed": seed,
                "model": model.manifest.model_id,
                "backend": stream.network.backend_name,
                "out": str(out),
                "not_generated": list(take.not_generated),
            }
            | checks
        )


def _shifted(samples: NDArray[np.float32], offset_ms: float) -> NDArray[np.float32]:
    """The same number of samples, later by ``offset_ms`` (silence first) or earlier (silence last)."""
    import numpy as np

    from soulstream_engine.clock import SAMPLE_RATE

    shift = round(offset_ms / 1000.0 * SAMPLE_RATE)
    if shift == 0 or len(samples) == 0:
        return samples
    moved = np.zeros_like(samples)
    if shift > 0:
        moved[shift:] = samples[:-shift] if shift < len(samples) else samples[:0]
    else:
        moved[:shift] = samples[-shift:]
    return moved
