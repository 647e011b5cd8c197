"""The commands: one short function each; heavy imports happen inside."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from vsr.config import NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError, InputError, OutputError
from vsr.option_values import parse_time
from vsr.runtime.terminal import printable

SEPARATORS = ("/", os.sep)
PICTURE_CODECS = ("png", "tiff", "exr", "dpx")
"""The codecs that write a folder, which need not exist."""


def _upscale(options: Namespace) -> None:
    _let_threads_sleep()
    if options.dry_run:
        _show_plan(options, as_json=False)
        return
    if options.preview is not None:
        _preview(options)
        return
    if options.cluster is not None:
        _upscale_on_cluster(options)
        return
    from vsr.jobs.batch import upscale_batch
    from vsr.jobs.films import batch_of
    from vsr.jobs.progress import show_progress
    from vsr.jobs.upscale import upscale

    source, output, config = _job(options)
    batch = batch_of(source, output, config)
    if options.restore_report:
        _upscale_with_restore_report(options, is_batch=batch is not None)
        return
    if batch is None and options.report:
        from vsr.jobs.report import upscale_with_report

        print(printable(str(upscale_with_report(*_film(options), progress=show_progress))))
        return
    if batch is None:
        print(printable(str(upscale(*_film(options), progress=show_progress))))
        return
    if options.report:
        from vsr.jobs.batch_report import upscale_batch_with_report

        reported = upscale_batch_with_report(batch, config, progress=show_progress)
        print(printable(str(reported)))
        reported.report.check()
        return
    report = upscale_batch(batch, config, progress=show_progress)
    print(printable(str(report)))
    report.check()


def _upscale_on_cluster(options: Namespace) -> None:
    for name in ("report", "restore_report"):
        if options[name]:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for one process, and --cluster is given: leave one out")
    from vsr.jobs.cluster.driver import upscale_batch_on, upscale_on
    from vsr.jobs.films import batch_of
    from vsr.jobs.progress import show_progress
    from vsr.runtime.executor import WorkerOptions, open_executor

    source, output, config = _job(options)
    batch = batch_of(source, output, config)
    workers = WorkerOptions(
        cluster=options.cluster,
        cpus_per_worker=options.cpus_per_worker,
        gpus=config.device != "cpu",
    )
    with open_executor(workers) as executor:
        if batch is None:
            print(printable(str(upscale_on(executor, *_film(options), progress=show_progress))))
            return
        report = upscale_batch_on(executor, batch, config, progress=show_progress)
    print(printable(str(report)))
    report.check()


def _upscale_with_restore_report(options: Namespace, *, is_batch: bool) -> None:
    from vsr.jobs.progress import show_progress
    from vsr.jobs.restore_report import upscale_with_restore_report

    if is_batch or options.report:
        found = "--report is given too" if options.report else f"{options.input} holds several"
        raise InputError(f"--restore-report is for one film and alone, and {found}: leave one out")
    print(printable(str(upscale_with_restore_report(*_film(options), progress=show_progress))))


def _preview(options: Namespace) -> None:
    from vsr.jobs.films import batch_of
    from vsr.jobs.preview import preview
    from vsr.jobs.progress import show_progress

    seconds = _preview_seconds(options.preview)
    batch = batch_of(*_job(options))
    if batch is not None:
        raise InputError(
            f"{options.input} holds {len(batch.films)} films, and a preview is of one: name it, as "
            f"{batch.films[0].source}"
        )
    print(printable(str(preview(*_film(options), seconds=seconds, progress=show_progress))))


def _preview_seconds(value: str) -> float:
    with suppress(ConfigError):
        seconds = parse_time(value, name="preview")
        if 0 < seconds < float("inf"):
            return seconds
    raise ConfigError(
        f"--preview {value} is not understood; it can be seconds as 2s, or a clock time as 0:02"
    )


def _plan(options: Namespace) -> None:
    _let_threads_sleep()
    _show_plan(options, as_json=options.json)


def _show_plan(options: Namespace, *, as_json: bool) -> None:
    from vsr.jobs.films import batch_of
    from vsr.jobs.planning.batch_plan import plan_batch
    from vsr.jobs.planning.plan import plan

    source, output, config = _job(options)
    batch = batch_of(source, output, config)
    if batch is None:
        found = plan(*_film(options))
    else:
        found = plan_batch(batch, config, _nothing if as_json else _print)
    print(found.to_json() if as_json else printable(str(found)))
    if found.refusal is not None:
        raise found.refusal


def _print(text: str) -> None:
    print(printable(text))


def _nothing(text: str) -> None:
    """Show nothing."""
    del text


def _job(options: Namespace) -> tuple[Path, Path | None, UpscaleConfig]:
    """Return the source, the output and the options of a run."""
    given = [field.name for field in fields(UpscaleConfig) if field.name in options]
    values: dict[str, Any] = {"model": NO_MODEL} | {name: options[name] for name in given}
    for field in fields(UpscaleConfig):
        is_null = field.name in values and values[field.name] is None
        if is_null and field.default is not None:  # `model: null` in a config file
            raise ConfigError(f"{field.name} is null; leave it out, or give a value")
    config = UpscaleConfig(**values)
    return Path(options.input), Path(options.output) if options.output else None, config


def _film(options: Namespace) -> tuple[Path, Path | None, UpscaleConfig]:
    """Return the same for a run on one film, whose output may be a folder to put the file into."""
    from vsr.jobs.target import film_output

    source, output, config = _job(options)
    is_folder = config.codec not in PICTURE_CODECS and (options.output or "").endswith(SEPARATORS)
    if output is not None and is_folder and not output.is_dir():
        raise OutputError(f"the folder {output} does not exist; make it first, or name a file")
    return source, film_output(source, output, config), config


def _let_threads_sleep() -> None:
    """Make idle OpenMP threads sleep. Must run before torch is imported.

    Threads that spin take the cores from the decoder and the encoder, which run at the same time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _info(options: Namespace) -> None:
    from vsr.jobs.info import describe

    print(printable(describe(options.path, playlists=options.allow_playlists)))


def _compare(options: Namespace) -> None:
    from vsr.reporting.compare import compare, parse_crop

    crop = None if options.crop is None else parse_crop(options.crop)
    paths = [Path(path) for path in options.films]
    print(compare(paths, Path(options.output), frame=options.frame, crop=crop))


def _models(options: Namespace) -> None:
    _let_threads_sleep()
    if options.name == "compare":
        _compare_models(options)
        return
    if options.clip is not None:
        raise ConfigError(
            f"unknown argument {options.clip}; vsr models compare CLIP shows a moment in each model"
        )
    from vsr.checkpoints.catalog import catalog
    from vsr.checkpoints.costs import Machine

    machine = Machine.here(options.device, options.dtype)
    print(*catalog(options.name, machine=machine), sep="\n\n")


def _compare_models(options: Namespace) -> None:
    if options.clip is None:
        raise ConfigError("vsr models compare needs a video: vsr models compare CLIP")
    from vsr.jobs.model_comparison import compare_models

    names = None if options.only is None else [name.strip() for name in options.only.split(",")]
    config = UpscaleConfig(device=options.device, dtype=options.dtype)
    output = Path(options.output) if options.output else None
    print(compare_models(Path(options.clip), output, config, at=options.at, names=names))


def _convert(options: Namespace) -> None:
    from vsr.checkpoints.convert import convert

    upscaler = Path(options.upscaler) if options.upscaler else None
    source, target = Path(options.source), Path(options.target) if options.target else None
    made = convert(
        source,
        target,
        vae=options.vae,
        upscaler=upscaler,
        kind=options.kind,
        overwrite=options.overwrite,
    )
    print(f"{made} is written: a model folder, whose README.md names the licence")


def _train(options: Namespace) -> None:
    from vsr.runtime.launcher import end_launched
    from vsr.training import train

    train(options.config, options.overrides)
    end_launched()


def _export(options: Namespace) -> None:
    from vsr.training.export import export

    folder = Path(options.folder)
    chosen = {"best": options.best, "merge": options.merge, "clean": options.clean}
    used = export(Path(options.run), folder, **chosen)
    print(f"{options.folder} is written: the model of {used}")


def _data(options: Namespace) -> None:
    from vsr.training.preparation.commands import run_command

    run_command(options.step, ())


def _evaluate(options: Namespace) -> None:
    from vsr.evaluation.evaluate import Sources, evaluate
    from vsr.evaluation.reports import as_csv, as_json, as_text
    from vsr.runtime.files import write_atomically

    truth = _path(options.gt)
    sources = Sources(
        reference=_path(options.reference),
        raft=_path(options.raft),
        vsreval=_path(options.vsreval),
        record=_path(f"{options.json}.partial" if options.json else None),
    )
    found = evaluate(
        Path(options.outputs), truth, every=options.every, jobs=options.jobs, sources=sources
    )
    for file, write in ((options.json, as_json), (options.csv, as_csv)):
        if file:
            write_atomically(Path(file), write(found).encode())
    if sources.record is not None:
        sources.record.unlink(missing_ok=True)
    print(as_text(found))


def _benchmark(options: Namespace) -> None:
    from vsr.evaluation.benchmark.benchmark import Settings, benchmark, benchmark_set
    from vsr.evaluation.benchmark.methods import benchmark_methods, given_outputs
    from vsr.evaluation.benchmark.tables import as_markdown

    output = Path(options.output)
    settings = Settings(every=options.every, repeats=options.repeats)
    models = options.models.split(",") if options.models else ()
    methods = [*benchmark_methods(models, device=options.device)]
    methods += given_outputs(options.outputs) if options.outputs else ()
    clips = benchmark_set(Path(options.set), _path(options.gt), output)
    print(as_markdown(benchmark(clips, methods, output, settings)), end="")
    print(f"\nresults, tables and pages are in {output}")


def _ui(options: Namespace) -> None:
    _let_threads_sleep()
    from vsr.ui.server import ServerConfig, serve

    config = ServerConfig(
        host=options.host,
        port=options.port,
        folder=_path(options.folder),
        max_upload=options.max_upload,
        open_browser=options.open,
    )
    serve(config, _print)


def _comfyui(options: Namespace) -> None:
    from vsr.ui.comfyui_folder import install_nodes

    file = install_nodes(Path(options.path))
    print(printable(f"{file} is written; start ComfyUI again: the nodes are under video / vsr"))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "upscale": _upscale,
    "restore": _upscale,
    "plan": _plan,
    "info": _info,
    "compare": _compare,
    "models": _models,
    "convert": _convert,
    "train": _train,
    "evaluate": _evaluate,
    "benchmark": _benchmark,
    "export": _export,
    "data": _data,
    "ui": _ui,
    "comfyui": _comfyui,
}
"""The function of each command."""
