"""What is told of input pictures that a target takes only smaller."""

from __future__ import annotations

from dataclasses import replace

from config.inputs import Inputs
from gateway.images.call import UNSEEN, InputSize
from gateway.images.fitted import Adjustment, How
from gateway.images.input_work import input_adjustments
from tests.unit.images.priced import URL, call, model

SMALL = model(inputs=Inputs(longest_edge=511))


def test_each_larger_picture_is_told_and_no_mask() -> None:
    sizes = [InputSize(1600, 1200), InputSize(511, 511), UNSEEN, InputSize(4, 4000)]
    wanted = replace(call(images=[URL] * 4, mask=URL), inputs=[*sizes, InputSize(1600, 1200)])
    assert input_adjustments(wanted, SMALL) == (
        Adjustment("image", "1600x1200", How.EMULATED, "511x383"),
        Adjustment("image", "4x4000", How.EMULATED, "1x511"),
    )


def test_a_target_without_such_a_bound_changes_nothing() -> None:
    assert input_adjustments(call(images=[URL]), model()) == ()
