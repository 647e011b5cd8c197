"""The catalog lists every embedded model with its licence; unknown names hear the nearest."""

import pytest

from vsr.checkpoints.catalog import catalog
from vsr.checkpoints.find import embedded_models
from vsr.cli import main
from vsr.errors import ModelError


def test_every_embedded_model_is_listed_with_its_licence_and_size():
    listed = {entry.name: entry for entry in catalog() if entry.place == "embedded"}
    assert listed.keys() == embedded_models().keys()
    assert {entry.licence for entry in listed.values()} == {"apache-2.0", "bsd-3-clause"}
    assert all(entry.megabytes for entry in listed.values())
    assert all(f"--model {name}" in entry.command for name, entry in listed.items())


def test_models_that_are_not_here_say_how_to_get_them():
    absent = [entry for entry in catalog() if entry.place != "embedded"]
    assert absent
    assert all(entry.command.startswith("vsr convert") for entry in absent)
    assert all(entry.megabytes is None for entry in absent)


def test_a_name_shows_that_model_alone_and_an_unknown_one_the_nearest():
    (entry,) = catalog("realesrgan-x4plus")
    assert entry.name == "realesrgan-x4plus"
    with pytest.raises(ModelError, match="did you mean realesrgan-x4plus"):
        catalog("realesrgan-4xplus")


def test_the_command_lists_the_models(capsys: pytest.CaptureFixture[str]):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(entry.name in shown and entry.command in shown for entry in catalog())
    assert main(["models", "compcat"]) == 1
    assert "did you mean compact" in capsys.readouterr().err
