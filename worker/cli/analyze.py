"""`shelfguard analyze`: the engine alone on files, no servers. Prints JSON Lines or a readable account."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import InputRejected, ShelfguardError, Unavailable
from domain.observations import (
    INPUT_FREE_TASKS,
    REGION_INPUT_TASKS,
    Answer,
    Box,
    LinesAnswer,
    MasksAnswer,
    ObjectsAnswer,
    Observation,
    Plan,
    Question,
    Task,
    TextReaders,
)
from domain.photos import DecodedPhoto

if TYPE_CHECKING:
    from rich.console import Console

    from worker.vision.engine import FlorenceEngine
    from worker.vision.reading import Looker

IMAGES_AT_ONCE = 4
EXIT_UNUSABLE = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. Either `seen` or `error` is there."""

    path: str
    photo: DecodedPhoto | None = None
    seen: Observation | None = None
    error: ShelfguardError | None = None


def analyze(
    paths: Annotated[list[str], typer.Argument(help="Picture files.", metavar="PATH...")],
    tasks: Annotated[
        str | None, typer.Option(help=f"Comma-separated, of: {', '.join(INPUT_FREE_TASKS)}.", metavar="A,B")
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(help="A task with its input, as task=phrase or task=x1,y1,x2,y2 in pixels; may be repeated."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="shelf-tiny, a directory, or hub-id@commit; default: SHELFGUARD_MODEL.")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="Directory of a LoRA adapter.")] = None,
    text_reader: Annotated[
        TextReaders | None,
        typer.Option(
            help="Who reads text: the model, rapidocr, or both apart. Default: SHELFGUARD_TEXT_READER, and the model "
            "alone with --tasks or --ask."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show open-vocabulary hits that the second reading did not confirm.")
    ] = False,
    draw: Annotated[Path | None, typer.Option(help="Folder for pictures with the answers drawn on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and nothing else.")] = False,
) -> None:
    """Look at pictures and say what is in them. Exit 3 when a picture could not be used."""
    readers = text_readers(text_reader, narrowed=tasks is not None or bool(ask))
    plan = plan_for(tasks, tuple(map(question, ask or ())), readers)
    engine = _with_second_reader(load_engine(model, adapter), readers)
    console = _console()
    unusable = False
    for found in outcomes(engine, paths, plan):
        read = _calibrated(found, engine)
        outcome = read if everything else _without_doubtful(read)
        unusable |= outcome.error is not None
        if as_json:
            typer.echo(json.dumps(as_line(outcome, engine)))
        else:
            _tell(console, outcome)
        if draw is not None:
            _draw(draw, outcome)
    if unusable:
        raise typer.Exit(EXIT_UNUSABLE)


def text_readers(chosen: TextReaders | None, narrowed: bool) -> TextReaders:
    """Who reads text. Where only some tasks were asked for, the setting adds nothing to them."""
    from worker.settings import VisionSettings

    return chosen or (TextReaders.FLORENCE if narrowed else VisionSettings().text_reader)


def plan_for(listed: str | None, questions: tuple[Question, ...], readers: TextReaders) -> Plan:
    """What to run. Tasks named in --tasks are all run, also those that a second reader would spare the model."""
    plan = Plan(plan_tasks(listed, bool(questions)), questions).read_by(readers)
    return plan if listed is None else replace(plan, tasks=plan_tasks(listed, bool(questions)))


def plan_tasks(listed: str | None, asked: bool) -> tuple[Task, ...]:
    """The tasks of --tasks; without it the usual ones, or none when there are questions. Exits 2 on an unknown one."""
    if listed is None:
        return () if asked else Plan().tasks
    names = [name.strip() for name in listed.split(",") if name.strip()]
    known = {task.value: task for task in INPUT_FREE_TASKS}
    for name in names:
        if name not in known:
            hint = " It needs an input: use --ask." if name in {task.value for task in Task} else ""
            raise typer.BadParameter(f"Unknown task {name!r}.{hint} Choose from {', '.join(known)}.")
    return tuple(known[name] for name in names)


def question(asked: str) -> Question:
    """One --ask. Exits 2 with a sentence when it cannot be asked."""
    name, equals, given = asked.partition("=")
    known = {task.value: task for task in Task if task not in INPUT_FREE_TASKS}
    task = known.get(name.strip())
    if task is None or not equals:
        raise typer.BadParameter(f"Cannot ask {asked!r}. Write task=input, with a task of {', '.join(known)}.")
    if task in REGION_INPUT_TASKS:
        return Question(task, _region(task, given))
    if not given.strip():
        raise typer.BadParameter(f"Task {task.value} needs a phrase after '='.")
    return Question(task, given.strip())


def _region(task: Task, given: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(number) for number in given.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"Task {task.value} needs four numbers x1,y1,x2,y2, not {given!r}.") from error
    if not (0 <= x1 < x2 < float("inf") and 0 <= y1 < y2 < float("inf")):
        raise typer.BadParameter(f"Region {given!r} is empty or turned round: x1 < x2 and y1 < y2, in pixels from 0.")
    return (x1, y1, x2, y2)


def outcomes(engine: Looker, paths: Sequence[str], plan: Plan) -> Iterator[Outcome]:
    """One for each path, in order; a few pictures are looked at together."""
    for start in range(0, len(paths), IMAGES_AT_ONCE):
        opened = [_opened(path) for path in paths[start : start + IMAGES_AT_ONCE]]
        seen = iter(_looked_at(engine, [outcome for outcome in opened if outcome.photo is not None], plan))
        for outcome in opened:
            yield next(seen) if outcome.photo is not None else outcome


def _opened(path: str) -> Outcome:
    """Read and decode one file in intake's sandbox."""
    from worker.intake.decode import decode_photo

    try:
        return Outcome(path, photo=decode_photo(_bytes(Path(path))))
    except ShelfguardError as error:
        return Outcome(path, error=error)


def _bytes(path: Path) -> bytes:
    from worker.intake.decode import USUAL_LIMITS

    try:
        with path.open("rb") as file:
            return file.read(USUAL_LIMITS.max_bytes + 1)  # one more than allowed is enough to be refused
    except FileNotFoundError as error:
        raise InputRejected("file_not_found", "There is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise InputRejected("file_unreadable", f"The file cannot be read ({error}). Check its permissions.") from error


def _looked_at(engine: Looker, usable: Sequence[Outcome], plan: Plan) -> list[Outcome]:
    """Together, and one by one if that fails, so that one picture's trouble is its own."""
    try:
        seen = engine.look([_look(outcome, plan) for outcome in usable])
    except (InputRejected, Unavailable) as error:
        if len(usable) == 1:
            return [replace(usable[0], error=error)]
        return [alone for outcome in usable for alone in _looked_at(engine, [outcome], plan)]
    return [replace(outcome, seen=one) for outcome, one in zip(usable, seen, strict=True)]


def _look(outcome: Outcome, plan: Plan) -> Any:
    import io

    from PIL import Image

    from worker.vision.engine import Look

    photo = outcome.photo
    assert photo is not None, "only decoded photos are looked at"
    image = Image.open(io.BytesIO(photo.model_copy), formats=["JPEG"])  # made by our own sandbox
    return Look(image, photo.sha256, photo.width, photo.height, plan)


def load_engine(model: str | None, adapter: Path | None) -> FlorenceEngine:
    """The engine of these settings. Raises CheckpointRefused; exits 2 for a device or type that is not there."""
    from worker.settings import VisionSettings
    from worker.vision.engine import FlorenceEngine

    chosen = VisionSettings()
    try:
        return FlorenceEngine.load(
            model or chosen.model,
            revision=None if model else chosen.model_revision,
            adapter=adapter or chosen.adapter,
            device=chosen.device,
            dtype=chosen.dtype,
            threads=chosen.threads,
            compiling=chosen.compile,
        )
    except ValueError as error:  # a device or type that is not there
        raise typer.BadParameter(str(error)) from error


def _with_second_reader(engine: FlorenceEngine, readers: TextReaders) -> Looker:
    from worker.settings import VisionSettings
    from worker.vision.reading import with_reader

    return with_reader(engine, readers, VisionSettings().text_reader_threads)


def as_line(outcome: Outcome, engine: Looker) -> dict[str, Any]:
    """The JSON object of one picture."""
    photo, error, calibration = outcome.photo, outcome.error, engine.calibration_for(None)
    return {
        "path": outcome.path,
        "image": photo and {"width": photo.width, "height": photo.height, "sha256": photo.sha256},
        "model": engine.engine.model,
        "adapter": engine.engine.adapter,
        "calibration": calibration and calibration.version,
        "results": outcome.seen.results_json() if outcome.seen else {},
        "error": error and {"code": code_of(error), "message": message_of(error)},
    }


def code_of(error: ShelfguardError) -> str:
    return error.code if isinstance(error, InputRejected) else "unavailable"


def message_of(error: ShelfguardError) -> str:
    return error.message if isinstance(error, InputRejected) else str(error)


def _calibrated(outcome: Outcome, engine: Looker) -> Outcome:
    """Scores as probabilities of being right, where that was measured for these weights."""
    if outcome.seen is None:
        return outcome
    return replace(outcome, seen=replace(outcome.seen, calibration=engine.calibration_for(None)).calibrated())


def _without_doubtful(outcome: Outcome) -> Outcome:
    """Open-vocabulary hits below the threshold left out."""
    seen = outcome.seen
    if seen is None:
        return outcome
    asked = tuple(
        (item, _surer(answer, seen) if item.task is Task.OPEN_VOCABULARY_DETECTION else answer)
        for item, answer in seen.asked
    )
    return replace(outcome, seen=replace(seen, asked=asked))


def _surer(answer: Answer, seen: Observation) -> Answer:
    if not isinstance(answer, ObjectsAnswer):
        return answer
    return ObjectsAnswer(tuple(filter(seen.counts, answer.objects)))


def _draw(folder: Path, outcome: Outcome) -> None:
    """The picture with its answers, named by its content so that equal file names do not collide."""
    if outcome.seen is None or outcome.photo is None:
        return
    from worker.drawing import draw

    folder.mkdir(parents=True, exist_ok=True)
    name = f"{Path(outcome.path).stem}-{outcome.photo.sha256[:8]}.jpg"
    (folder / name).write_bytes(draw(outcome.photo.model_copy, outcome.seen, ()))


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _tell(console: Console, outcome: Outcome) -> None:
    """A readable account of one picture. Words from pictures are data: no markup in them takes effect."""
    from rich.text import Text

    if outcome.error is not None:
        console.print(Text.assemble((outcome.path, "bold"), " ", (message_of(outcome.error), "red")))
    if outcome.photo is None or outcome.seen is None:
        return
    console.print(Text.assemble((outcome.path, "bold"), f"  {outcome.photo.width} x {outcome.photo.height}"))
    shown: list[tuple[str, Answer]] = [(task.value, answer) for task, answer in outcome.seen.results.items()]
    shown += [(f"{item.task.value} {item.input}", answer) for item, answer in outcome.seen.asked]
    if (second := outcome.seen.second_reading) is not None:
        shown.append((f"text read by {second.reader}", LinesAnswer(second.lines)))
    for name, answer in shown:
        console.print(Text.assemble("  ", (name, "cyan")))
        for line in told(answer):
            console.print(Text(f"    {line}"))


def told(answer: Answer) -> list[str]:
    """One line for each item of an answer, "-" for none."""
    if isinstance(answer, ObjectsAnswer):
        lines = [f"{_sure(item.surest)} {item.label} {_rounded(item.box)}" for item in answer.objects]
    elif isinstance(answer, LinesAnswer):
        lines = [f"{_sure(line.score)} {line.text} {_rounded(line.quad)}" for line in answer.lines]
    elif isinstance(answer, MasksAnswer):
        lines = [f"{mask.label} {len(mask.polygons)} polygons" for mask in answer.masks]
    else:
        lines = [f"{_sure(answer.score)} {answer.text}"] if answer.text else []
    return lines or ["-"]


def _sure(score: float | None) -> str:
    return "    " if score is None else f"{score:4.0%}"


def _rounded(numbers: Sequence[float]) -> str:
    return str([round(number) for number in numbers])
