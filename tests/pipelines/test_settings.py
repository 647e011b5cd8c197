"""Sampling settings: read from JSON, overridden, and wrong keys."""

import pytest

from vsr.errors import ConfigError
from vsr.pipelines.settings import SamplingConfig
from vsr.propagation.fusion import PropagationConfig


def test_a_sampling_config_is_made_of_parsed_json():
    config = SamplingConfig.from_dict(
        {"prediction": "sample", "propagation_steps": [1, 2], "propagation": {"beta": 0.25}}
    )
    assert config == SamplingConfig(
        prediction="sample",
        propagation_steps=(1, 2),
        propagation=PropagationConfig(beta=0.25),
    )


def test_a_config_keeps_what_is_not_overridden():
    config = SamplingConfig(noise_level=7, propagation=PropagationConfig(beta=0.25, alpha1=0.5))
    found = config.overridden({"guidance_interval": [0.2, 1], "propagation": {"beta": 1.0}})
    assert (found.noise_level, found.guidance_interval) == (7, (0.2, 1))
    assert found.propagation == PropagationConfig(beta=1.0, alpha1=0.5)


def test_an_unknown_propagation_key_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="propagation key betta; did you mean beta"):
        SamplingConfig.from_dict({"propagation": {"betta": 1}})


def test_an_unknown_sampling_key_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="start_strenght; did you mean start_strength"):
        SamplingConfig.from_dict({"start_strenght": 1})
