"""Rendered scenes: the same from the same seed, labels inside the picture, answers that parse back."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from worker.training.synth import asked, assets, lettering, render, scenes, targets
from worker.training.synth.scenes import Rendered, Setting
from worker.training.synth.vocabulary import classes, with_article

SETTING = Setting(text=0.8)


@pytest.fixture(scope="module")
def rendered() -> list[Rendered]:
    if "fluent" not in assets.available() and "twemoji" not in assets.available():
        try:
            assets.fetch()
        except (assets.AssetsMissing, OSError) as missing:
            pytest.skip(f"no drawings to render scenes from: {missing}")
    return [scenes.render(scenes.sample(77, index, SETTING), 96, masks=True) for index in range(24)]


def test_there_are_140_classes_each_named_once() -> None:
    names = [kind.name for kind in classes()]
    assert len(names) == len(set(names)) == 140


@pytest.mark.parametrize(
    ("noun", "name", "said"),
    [
        ("red sneaker", "sneaker", "a red sneaker"),
        ("apple", "apple", "an apple"),
        ("blue jeans", "jeans", "blue jeans"),
        ("bread", "bread", "bread"),
    ],
)
def test_articles_fit(noun: str, name: str, said: str) -> None:
    assert with_article(noun, name) == said


def test_same_seed_same_scene_and_same_pixels(rendered: list[Rendered]) -> None:
    for index in (0, 7, 23):
        again = scenes.render(scenes.sample(77, index, SETTING), 96)
        assert again.scene == rendered[index].scene
        assert np.array_equal(np.asarray(again.picture), np.asarray(rendered[index].picture))


def test_other_seeds_give_other_scenes(rendered: list[Rendered]) -> None:
    assert scenes.sample(78, 0, SETTING) != rendered[0].scene


def test_boxes_and_quads_lie_inside_and_are_not_empty(rendered: list[Rendered]) -> None:
    for one in rendered:
        assert len(one.boxes) == len(one.scene.items) >= 1
        assert ((one.boxes >= 0) & (one.boxes <= 1)).all()
        assert (one.boxes[:, 2:] - one.boxes[:, :2] > 0.01).all()
        assert one.quads.shape == (len(one.scene.lines), 8)
        assert ((one.quads >= 0) & (one.quads <= 1)).all()


def test_boxes_are_tight_around_the_outline(rendered: list[Rendered]) -> None:
    for one in rendered:
        for box, mask in zip(one.boxes, one.masks, strict=True):
            rows, columns = np.nonzero(mask)
            outline = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=float)
            outline /= np.array(one.picture.size * 2)
            assert np.abs(outline - box).max() < 0.08


def test_every_character_has_its_place(rendered: list[Rendered]) -> None:
    level = [one for one in rendered if len(one.scene.lines) == 1 and one.scene.lines[0].capital > 0.1]
    assert level
    for one in level:
        marks = set(np.unique(one.characters)) - {0}
        written = {lettering.ALPHABET.index(c) + 1 for c in one.scene.lines[0].text if c in lettering.ALPHABET}
        assert marks <= written
        assert len(marks) >= 0.7 * len(written)


def test_a_turned_point_moves_as_pixels_do() -> None:
    assert np.allclose(lettering.turned(np.array([[1.0, 0.0]]), 90, (0, 0)), [[0, -1]])


def test_places_are_floored_and_clamped() -> None:
    assert targets.places((0.0, 0.0019, 1.0)) == "<loc_0><loc_1><loc_999>"


@pytest.mark.parametrize("task", [*targets.WITHOUT_INPUT, *asked.WITH_INPUT])
def test_every_task_has_a_prompt_and_an_answer(task: str, rendered: list[Rendered]) -> None:
    for one in rendered:
        prompt, answer = asked.pair(one, task, random.Random(1))
        assert prompt.startswith(task)
        assert "\n" not in answer


def test_the_caption_names_every_object(rendered: list[Rendered]) -> None:
    for one in rendered:
        assert all(item.kind.name in targets.caption(one) for item in one.scene.items)


def test_rendering_to_files_writes_a_manifest(tmp_path: Path, rendered: list[Rendered]) -> None:
    rows = render.render_scenes(tmp_path, 3, seed=5, size=128)
    assert json.loads((tmp_path / "manifest.json").read_text()) == rows
    for row in rows:
        assert (tmp_path / row["file"]).is_file()
        assert row["main"] == row["objects"][0]["name"]


def test_a_phrase_names_objects_that_are_there_or_nothing(rendered: list[Rendered]) -> None:
    for one in rendered:
        for seed in range(30):
            phrase, found = asked.phrase_for(one, random.Random(seed))
            words = [{item.kind.name, item.kind.group} for item, _ in found]
            assert all(any(word in phrase for word in of_item) for of_item in words)
            if not found:
                there = [item for item in one.scene.items if item.kind.name in phrase.split() or item.phrase == phrase]
                assert all(item.phrase != phrase and (item.colour or item.kind.name != phrase) for item in there)


def test_a_region_of_text_is_answered_with_that_text(rendered: list[Rendered]) -> None:
    lettered = [one for one in rendered if len(one.scene.lines) == 1]
    assert lettered
    answers = {asked.region_reading(one, random.Random(3))[1] == one.scene.lines[0].text for one in lettered}
    assert True in answers


def test_masks_asked_for_by_region_are_polygons_of_whole_points(rendered: list[Rendered]) -> None:
    for one in rendered:
        _, answer = asked.region_segmentation(one, random.Random(1))
        for part in answer.split("<sep>"):
            assert part.count("<loc_") % 2 == 0 and part.count("<loc_") >= 6
