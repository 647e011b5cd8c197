"""The prediction of a clip: guidance by its formula and on its interval."""

import pytest
import torch

from vsr.prediction import Guidance

TEXT = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)])


def test_guidance_goes_from_the_negative_prediction_through_the_positive_one():
    guidance = Guidance(TEXT, 6.0, (0.0, 1.0))
    negative, positive = torch.randn(2, 1, 4, 2, 3, 3)
    found = guidance.combine(torch.cat([negative, positive]))
    torch.testing.assert_close(found, 6 * positive - 5 * negative)


@pytest.mark.parametrize(("share", "texts"), [(0.1, 1), (0.4, 2), (0.5, 2), (0.6, 2), (0.9, 1)])
def test_outside_the_interval_the_prompt_counts_alone(share: float, texts: int):
    text = Guidance(TEXT, 6.0, (0.4, 0.6)).text_at(share)
    assert text is not None
    assert torch.equal(text, TEXT[-texts:])


def test_a_prediction_for_one_text_stays_as_it_is():
    output = torch.randn(1, 4, 2, 3, 3)
    assert Guidance(TEXT, 6.0, (0.0, 1.0)).combine(output) is output


def test_models_without_text_have_none_at_any_time():
    assert Guidance(None, 1.0, (0.4, 0.6)).text_at(0.5) is None
