"""Pictures of a validation for TensorBoard."""

import numpy as np
import torch
from torch import nn

from mclir_basicsr.models.board import Board


class Writer:
    def __init__(self):
        self.images = {}

    def add_image(self, tag, image, iteration):
        self.images[tag] = image


class Plus(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, lq):
        return lq.repeat_interleave(2, -1).repeat_interleave(2, -2) + self.value


def test_the_middle_of_a_few_images_side_by_side():
    writer = Writer()
    board = Board(writer, 'Set5', 7)
    lq = torch.rand(1, 3, 100, 40) / 2
    gt = lq.repeat_interleave(2, -1).repeat_interleave(2, -2)
    while board.wants_more:
        board.show(f'{len(writer.images)}', Plus(0.1), [Plus(0.14), Plus(0.06)], lq, gt, lambda image: image)
    assert list(writer.images) == ['Set5/0', 'Set5/1', 'Set5/2', 'Set5/3']
    parts = writer.images['Set5/0'].split(80, dim=-1)
    middle = gt[0, :, 36:164]  # of 64 rows of lq, from the 19th on
    for part, wanted in zip(
        parts, (middle, middle + 0.1, middle, torch.full_like(middle, 10 * np.std([0, 4, -4]) / 100)), strict=True
    ):
        torch.testing.assert_close(part, wanted)


def test_grey_images_without_gt_or_negatives():
    writer = Writer()
    Board(writer, 'Set5', 7).show('a', Plus(0), [], torch.rand(1, 1, 8, 8), None, lambda image: image)
    assert writer.images['Set5/a'].shape == (3, 16, 32)
